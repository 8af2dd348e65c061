import warnings

import numpy as np
import pytest
import torch
from oracles import clusters as oracle
from sklearn.cluster import KMeans as SklearnKMeans
from tolerances import FLOAT32, FLOAT64, SAME_OBJECTIVE

from vidfeat.codebooks import kmeans, lloyd, nearest, rows
from vidfeat.codebooks.kmeans_steps import cluster_sums, nearest_centers
from vidfeat.codebooks.rows import Rows, threads
from vidfeat.codebooks.seeding import seed_centers
from vidfeat.errors import UsageError

CPU = torch.device("cpu")


def clouds(n, d, groups=8, seed=0, distance=4.0):
    """Samples around some points, float32."""
    random = np.random.default_rng(seed)
    points = distance * random.normal(size=(groups, d))
    return (points[np.arange(n) % groups] + random.normal(size=(n, d))).astype(np.float32)


@pytest.fixture(params=["compiled", "torch"])
def engine(request, monkeypatch):
    """What runs on a CPU, and what runs on a GPU, on a CPU."""
    monkeypatch.setattr(Rows, "compiled", request.param == "compiled")
    return request.param


@pytest.fixture
def tiny_blocks(monkeypatch):
    monkeypatch.setitem(rows.BLOCK_NUMBERS, "cpu", 200)


def objective_of(x, centers):
    return float(nearest(x, centers)[1].sum(dtype=np.float64))


@pytest.mark.parametrize(("n", "d", "k"), [(60, 3, 4), (70, 1, 6), (50, 17, 5), (30, 4, 1), (40, 2, 11)])
def test_a_step_is_lloyds(engine, tiny_blocks, n, d, k):
    x = clouds(n, d)
    centers = x[:k].astype(np.float64) + 0.1
    with threads(CPU) as run:
        counts, sums = cluster_sums(Rows(x, CPU), centers, run)
        words, distances = nearest_centers(Rows(x, CPU), centers, run)
    moved, expected_counts, objective = oracle.lloyd_step(x.astype(np.float64), centers)
    expected_words, expected_distances = oracle.nearest(x.astype(np.float64), centers)
    assert counts.tolist() == expected_counts.tolist()
    filled = counts > 0
    np.testing.assert_allclose(sums[filled] / counts[filled, None], moved[filled], rtol=FLOAT32)
    assert words.tolist() == expected_words.tolist()
    np.testing.assert_allclose(distances, expected_distances, rtol=10 * FLOAT32, atol=FLOAT32)
    assert distances.sum(dtype=np.float64) == pytest.approx(objective, rel=FLOAT32)


def test_a_run_is_that_of_the_definition(engine):
    x = clouds(200, 5)
    found = kmeans(x, 7, iterations=6, tolerance=0.0, seed=3)
    with threads(CPU) as run:
        (centers,) = run(
            lambda random: seed_centers(Rows(x, CPU), 7, random), [np.random.Generator(np.random.PCG64(3))]
        )
    objectives = []
    for _ in range(found.iterations):
        centers, counts, objective = oracle.lloyd_step(x.astype(np.float64), centers)
        objectives.append(objective)
    np.testing.assert_allclose(found.objective, objectives, rtol=FLOAT32)
    np.testing.assert_allclose(found.centers, centers, rtol=FLOAT32, atol=FLOAT32)
    assert found.counts.tolist() == counts.tolist()
    assert found.centers.dtype == np.float32 and found.counts.dtype == np.int64


def test_as_good_as_sklearn(engine):
    x = clouds(3000, 12, groups=40, distance=1.0)
    ours = np.mean([objective_of(x, kmeans(x, 20, seed=seed, tolerance=0.0).centers) for seed in range(4)])
    theirs = np.mean(
        [SklearnKMeans(20, n_init=1, max_iter=20, tol=0.0, random_state=seed).fit(x).inertia_ for seed in range(4)]
    )
    assert ours <= theirs * (1 + SAME_OBJECTIVE)


@pytest.mark.parametrize("seed", range(5))
def test_clusters_far_apart_are_all_found(seed):
    x = clouds(2000, 6, groups=50, distance=100.0)
    found = kmeans(x, 50, seed=seed)
    assert set(found.counts) == {40}
    assert found.objective[-1] < 1.1 * x.size


def test_the_objective_falls_and_is_that_of_the_centres():
    x = clouds(1000, 4)
    found = kmeans(x, 16, iterations=8, tolerance=0.0)
    assert all(b <= a for a, b in zip(found.objective, found.objective[1:], strict=False))
    earlier = kmeans(x, 16, iterations=7, tolerance=0.0)
    assert found.objective[-1] == pytest.approx(objective_of(x, earlier.centers), rel=10 * FLOAT32)


def test_the_tolerance_ends_it():
    x = clouds(2000, 4)
    found = kmeans(x, 16, iterations=200, tolerance=1e-3)
    assert found.iterations < 200
    last, before = found.objective[-1], found.objective[-2]
    assert before - last <= 1e-3 * before
    steps = []
    kmeans(x, 16, iterations=3, tolerance=0.0, progress=lambda number, objective: steps.append((number, objective)))
    assert steps == list(enumerate(found.objective[:3], start=1))


def test_the_seed_and_nothing_else_decides(monkeypatch):
    x = clouds(3000, 8)
    monkeypatch.setitem(rows.BLOCK_NUMBERS, "cpu", 2000)  # enough blocks for threads
    before = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(kmeans(x, 9, seed=5, iterations=4))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert result.centers.tobytes() == results[0].centers.tobytes()
        assert result.objective == results[0].objective
    assert not np.array_equal(kmeans(x, 9, seed=6, iterations=4).centers, results[0].centers)


def test_blocks_change_nothing_but_rounding(engine, monkeypatch):
    x = clouds(500, 7)
    whole = kmeans(x, 6, iterations=5, tolerance=0.0)
    monkeypatch.setitem(rows.BLOCK_NUMBERS, "cpu", 1)
    rowwise = kmeans(x, 6, iterations=5, tolerance=0.0)
    np.testing.assert_allclose(rowwise.centers, whole.centers, rtol=FLOAT32, atol=FLOAT32)
    assert rowwise.counts.tolist() == whole.counts.tolist()


@pytest.mark.parametrize("numbers", [1, 100, 1 << 18])
def test_parts_hold_every_row_once_and_no_block_is_large(monkeypatch, numbers):
    monkeypatch.setitem(rows.BLOCK_NUMBERS, "cpu", numbers)
    source = Rows(np.zeros((777, 3), np.float32), CPU)
    parts = source.parts(5, sums=4)
    spans = [span for part in parts for span in part]
    assert [row for start, stop in spans for row in range(start, stop)] == list(range(777))
    assert all((stop - start) * 5 <= max(numbers, 5) for start, stop in spans)
    assert len(parts) <= 64 and all(parts)


@pytest.mark.parametrize("kind", ["float16", "float64", "bfloat16", "tensor", "strided", "memmap", "big-endian"])
def test_every_kind_of_samples(engine, tmp_path, kind):
    x = clouds(300, 6)
    x = torch.from_numpy(x).to(torch.bfloat16).float().numpy() if kind == "bfloat16" else np.float32(np.float16(x))
    given = {
        "float16": lambda: x.astype(np.float16),
        "float64": lambda: x.astype(np.float64),
        "bfloat16": lambda: torch.from_numpy(x).to(torch.bfloat16),
        "tensor": lambda: torch.from_numpy(x).requires_grad_(),
        "strided": lambda: np.repeat(x, 2, axis=1)[:, ::2],
        "memmap": lambda: saved(tmp_path / "x.npy", x),
        "big-endian": lambda: x.astype(">f4"),
    }[kind]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = kmeans(given, 5, iterations=3)
        words, distances = nearest(given, found.centers)
    expected = kmeans(x, 5, iterations=3)
    assert found.centers.tobytes() == expected.centers.tobytes()
    assert (words.dtype, distances.dtype) == (np.int64, np.float32)
    assert words.tolist() == nearest(x, torch.from_numpy(expected.centers))[0].tolist()


def saved(path, x):
    np.save(path, x)
    return np.load(path, mmap_mode="r")


def test_samples_are_left_as_they_are():
    x = clouds(100, 4)
    before = x.copy()
    kmeans(x, 3)
    nearest(x, x[:3])
    assert np.array_equal(x, before)


def test_one_centre_is_the_mean(engine):
    x = clouds(300, 5)
    found = kmeans(x, 1)
    np.testing.assert_allclose(found.centers[0], x.mean(axis=0, dtype=np.float64), rtol=FLOAT32, atol=FLOAT32)
    assert found.counts.tolist() == [300]
    assert found.objective[-1] == pytest.approx(x.var(axis=0, dtype=np.float64).sum() * 300, rel=FLOAT64)


def test_as_many_centres_as_samples(engine):
    x = clouds(64, 5)
    found = kmeans(x, 64)
    assert sorted(map(tuple, found.centers)) == sorted(map(tuple, x))
    assert found.counts.tolist() == [1] * 64
    assert found.objective[-1] <= FLOAT64 * x.var() * x.size


@pytest.mark.parametrize("k", [3, 5, 30])
def test_fewer_different_samples_than_centres(engine, k):
    x = np.repeat(clouds(3, 4), 10, axis=0)
    found = kmeans(x, k)
    assert sorted(found.counts)[-3:] == [10, 10, 10] and found.counts.sum() == 30
    np.testing.assert_allclose(np.unique(found.centers.round(4), axis=0), np.unique(x.round(4), axis=0))


def test_all_samples_equal(engine):
    found = kmeans(np.full((20, 3), 0.1, np.float32), 4)
    np.testing.assert_allclose(found.centers, 0.1, rtol=FLOAT32)
    assert found.objective[-1] <= FLOAT32**2


def test_centres_without_samples_move_to_the_furthest_ones(engine, monkeypatch):
    x = np.array([[0.0], [0.1], [0.2], [10.0], [20.0]], np.float32)
    start = np.array([[0.0], [-50.0], [-60.0]])
    monkeypatch.setattr(lloyd, "seed_centers", lambda *_: start.copy())
    one = kmeans(x, 3, iterations=1)
    assert one.counts.tolist() == [5, 0, 0]
    np.testing.assert_allclose(one.centers[:, 0], [6.06, 20.0, 10.0], rtol=FLOAT32)
    found = kmeans(x, 3)
    assert found.counts.tolist() == [3, 1, 1]
    np.testing.assert_allclose(found.centers[:, 0], [0.1, 20.0, 10.0], rtol=FLOAT32)


def test_far_from_the_origin(engine):
    x = clouds(600, 6).round(1)
    near, far = kmeans(x, 8, seed=1), kmeans(x + np.float32(1024.0), 8, seed=1)
    np.testing.assert_allclose(far.objective[-1], near.objective[-1], rtol=SAME_OBJECTIVE)


def test_equally_near_centres():
    words, distances = nearest(np.zeros((3, 2), np.float32), np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1], [1, 0]]))
    assert words.tolist() == [0, 0, 0] and distances.tolist() == [1, 1, 1]


def broken(row, value):
    x = clouds(50, 3)
    x[row, 1] = value
    return x


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((clouds(4, 3), 5), "5 centres need at least as many samples, but there are 4"),
        ((clouds(4, 3), 0), "k=0 is not allowed: it is the number of centres, an integer ≥ 1"),
        ((clouds(4, 3), 2.0), "k=2.0 is not allowed"),
        ((clouds(4, 3), True), "k=True is not allowed"),
        ((broken(17, np.nan), 2), "Row 17 of the samples holds NaN or infinite values"),
        ((broken(49, np.inf), 2), "Row 49 of the samples holds NaN or infinite values"),
        ((broken(3, 1.0).astype(np.float64) * 1e300, 2), "Row 0 of the samples holds NaN or infinite values"),
        ((broken(3, 1e20), 2), "are too large: √Σ‖x‖² is 1.0e.20, allowed is 1e.17. Scale them down"),
        ((clouds(4, 3)[0], 2), r"have shape \[3\]; allowed is \[rows, dimensions\]"),
        ((np.zeros((0, 3), np.float32), 2), r"have shape \[0, 3\]"),
        ((clouds(4, 3).astype(int), 2), "The samples are int64; allowed are float16, bfloat16, float32 and float64"),
        ((clouds(4, 3).tolist(), 2), "must be a NumPy array or a torch tensor, not list"),
    ],
)
def test_errors(engine, arguments, words):
    with pytest.raises(UsageError, match=words):
        kmeans(*arguments)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"iterations": 0}, "iterations=0 is not allowed: it is the most iterations, an integer ≥ 1"),
        ({"seed": -1}, "seed=-1 is not allowed"),
        ({"tolerance": -1.0}, "tolerance=-1.0 is not allowed: it ends the iteration, a finite number ≥ 0"),
        ({"tolerance": np.nan}, "tolerance=nan is not allowed"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
    ],
)
def test_options_out_of_range(options, words):
    with pytest.raises(UsageError, match=words):
        kmeans(clouds(9, 2), 2, **options)


@pytest.mark.parametrize(
    ("x", "centers", "words"),
    [
        (clouds(5, 3), clouds(2, 4), "The samples have 3 dimensions, the centers 4"),
        (clouds(5, 3), clouds(2, 3)[0], r"The centers have shape \[3\]"),
        (broken(17, np.nan), clouds(2, 3), "Row 17 of the samples holds NaN"),
        (broken(17, -np.inf), clouds(2, 3), "Row 17 of the samples holds NaN or infinite"),
    ],
)
def test_errors_of_nearest(engine, x, centers, words):
    with pytest.raises(UsageError, match=words):
        nearest(x, centers)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_finds_the_same():
    x = clouds(5000, 16, groups=30)
    cpu, gpu = kmeans(x, 30, tolerance=0.0), kmeans(x, 30, tolerance=0.0, device="cuda")
    assert gpu.objective[-1] == pytest.approx(cpu.objective[-1], rel=SAME_OBJECTIVE)
    assert nearest(x, cpu.centers, device="cuda")[0].tolist() == nearest(x, cpu.centers)[0].tolist()
