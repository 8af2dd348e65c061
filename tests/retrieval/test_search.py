"""Exact search against all pairs, whatever the blocks; ties, copies, what is ignored, memory."""

import tracemalloc

import numpy as np
import pytest
import torch
from oracles import retrieval as oracle
from searching import Watched, hard_codes
from tolerances import FLOAT32

from vidfeat.errors import UsageError
from vidfeat.retrieval import distances
from vidfeat.retrieval.search import search

CODES = hard_codes()
QUERIES = CODES[[0, 3, 4, 7, 35, 52, 220, 399]]
METRICS = ["l2", "cosine"]


@pytest.fixture(scope="module")
def rankings():
    return {metric: [oracle.ranking(query, CODES, metric) for query in QUERIES] for metric in METRICS}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("top", [1, 9, 60, 400, None])
def test_the_nearest_are_those_of_all_pairs(rankings, metric, top):
    indices, found = search(QUERIES, CODES, metric, top)
    expected = [ranking[:top] for ranking in rankings[metric]]
    assert indices.tolist() == [[row for _, row in ranking] for ranking in expected]
    np.testing.assert_allclose(found, [[d for d, _ in ranking] for ranking in expected], FLOAT32, FLOAT32)
    assert (indices.dtype, found.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("block_rows", [1, 7, 64, 399, 1000])
def test_blocks_do_not_matter(metric, block_rows):
    expected, exact = search(QUERIES, CODES, metric, 50)
    indices, found = search(QUERIES, CODES, metric, 50, block_rows=block_rows)
    assert indices.tobytes() == expected.tobytes()
    assert found.tobytes() == exact.tobytes()


def test_queries_at_a_time_do_not_matter(monkeypatch):
    expected, exact = search(QUERIES, CODES)
    monkeypatch.setattr("vidfeat.retrieval.search._QUERIES_AT_ONCE", 3)
    indices, found = search(QUERIES, CODES)
    assert (indices.tobytes(), found.tobytes()) == (expected.tobytes(), exact.tobytes())


def test_more_columns_than_are_summed_in_float32(monkeypatch):
    codes = hard_codes(120, 300)
    expected = search(codes[:5], codes, "l2", 30)[0]
    monkeypatch.setattr("vidfeat.retrieval.distances._COLUMNS", 64)
    assert (search(codes[:5], codes, "l2", 30)[0] == expected).all()
    assert expected[0].tolist() == [row for _, row in oracle.ranking(codes[0], codes, "l2")][:30]


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e18, 3e19])
def test_codes_that_leave_the_range_of_float32_products(scale):
    """Squares of such numbers underflow or overflow in float32."""
    codes = np.float32(scale) * hard_codes(60, 20)
    indices, _ = search(codes[:6], codes, "l2", 20, block_rows=16)
    assert indices.tolist() == [[row for _, row in oracle.ranking(code, codes, "l2")][:20] for code in codes[:6]]


def test_what_is_ignored_is_not_found():
    ignored = [np.array([0]), np.arange(30, 40), np.array([], int), *[np.array([1])] * 5]
    indices, _ = search(QUERIES, CODES, "l2", 20, ignored=ignored, block_rows=33)
    for query, dropped, own in zip(QUERIES, ignored, indices.tolist(), strict=True):
        assert own == [row for _, row in oracle.ranking(query, CODES, "l2", set(dropped.tolist()))][:20]


def test_too_few_are_left():
    indices, found = search(CODES[:2], CODES[:4], top=4, ignored=[np.array([0, 1]), np.arange(4)])
    assert indices[0].tolist()[2:] == [-1, -1] and indices[1].tolist() == [-1] * 4
    assert np.isinf(found[0, 2:]).all() and np.isinf(found[1]).all()
    assert search(CODES[:2], CODES[:0])[0].shape == (2, 0)
    assert search(CODES[:0], CODES, top=5)[0].shape == (0, 5)


def test_the_bound_on_the_error_holds():
    """And is not so large that everything would be compared exactly."""
    cpu = torch.device("cpu")
    pairs = np.divmod(np.arange(len(CODES) ** 2), len(CODES))
    for metric in METRICS:
        exact = distances.exact_distances(CODES, pairs[0], CODES, pairs[1], metric).reshape(len(CODES), -1)
        for dtype in (torch.float32, torch.float64):
            vectors = distances.prepare(CODES, metric, cpu, dtype)
            near, margin = distances.approximate(vectors, vectors)
            error = (near - torch.from_numpy(exact)).abs()
            assert bool((error <= margin).all())
            assert float((error / margin)[margin > 0].max()) > 1e-4


def test_memory_does_not_grow_with_the_database():
    """200,000 rows: all codes take 13 MB, all distances 48 MB."""
    database = Watched((200_000, 16))
    queries = database[5:35]
    tracemalloc.start()
    indices, _ = search(queries, database, "l2", 10, block_rows=2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(database.reads) == 2000
    assert peak < 4e6
    assert indices[:, 0].tolist() == list(range(5, 35))
    database.reads.clear()
    search(queries, database, "l2", 10)
    assert 8 * 16 * max(database.reads) <= distances.BLOCK_BYTES
    assert 30 * max(database.reads) <= distances.CELLS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((CODES, CODES, "dot"), "the metric is 'dot'; allowed are l2, cosine."),
        ((CODES[:, :5], CODES), "have shape [400, 5], the database [400, 37]; both must be [items, D]"),
        ((CODES[0], CODES), "have shape [37]"),
        ((CODES, CODES, "l2", 0), "top is 0; it must be 1 or more, or None."),
    ],
)
def test_wrong_arguments_are_refused(arguments, words):
    with pytest.raises(UsageError) as refused:
        search(*arguments)
    assert words in str(refused.value)


def test_more_wrong_arguments():
    with pytest.raises(UsageError, match="ignored has 1 entries for 8 queries"):
        search(QUERIES, CODES, ignored=[np.array([1])])
    with pytest.raises(UsageError, match="block_rows is 0"):
        search(QUERIES, CODES, block_rows=0)
    with pytest.raises(UsageError, match="unknown device 'tpu'"):
        search(QUERIES, CODES, device="tpu")
    broken = CODES.copy()
    broken[9, 1] = np.nan
    with pytest.raises(UsageError, match="a code has NaN or infinite values"):
        search(QUERIES, broken)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("metric", METRICS)
def test_a_gpu_gives_the_same_bits(metric):
    for on_gpu, on_cpu in zip(
        *(search(QUERIES, CODES, metric, 50, device=name) for name in ("cuda", "cpu")), strict=True
    ):
        assert on_gpu.tobytes() == on_cpu.tobytes()
