import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from oracles import rank as oracle
from sklearn.svm import LinearSVR
from tolerances import DUALITY_GAP, FLOAT32, FLOAT64, LIBLINEAR_OBJECTIVE

from vidfeat.errors import UsageError
from vidfeat.pooling import ConvergenceWarning, rank_pool
from vidfeat.pooling.frames import Frames
from vidfeat.pooling.rank_solver import CERTIFIED, solve
from vidfeat.pooling.rank_spaces import FeatureSpace, FrameSpace

KINDS = ("walk", "relu", "repeated", "raw")
SHAPES = ((1, 7), (2, 1), (30, 64), (64, 64), (90, 12))
SETTINGS = ((2.0, 0.1), (2.0, 0.0), (1e-6, 0.1), (200.0, 1.0), (1e6, 0.1), (200.0, 10.0))


def video(T, D, kind="relu", seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(T, D))
    if kind == "walk":
        x = np.cumsum(x, axis=0)
    if kind == "relu":
        x = np.maximum(x + random.normal(size=D), 0)
        x[:: max(T // 3, 2)] = 0  # zero frames, as dead features give them
    if kind == "repeated":
        x = x[np.arange(T) // 3]
    return x if kind in ("raw", "repeated") else oracle.prepared(x)


def solved(v, C, epsilon, **options):
    """The solver itself on one video: its last point as a Point without batch, and the steps."""
    frames = Frames(v[None])
    if v.shape[0] > v.shape[1]:
        space = FeatureSpace.of(frames, frames.feature_gram(frames.real), C)
    else:
        space = FrameSpace.of(frames.gram(), frames.real, C)
    point, steps = solve(space, epsilon, **options)
    return SimpleNamespace(objective=point.objective[0], relative_gap=point.relative_gap[0]), steps[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_solution_is_optimal_and_certified(shape, kind):
    v = video(*shape, kind)
    for C, epsilon in SETTINGS:
        u, info = rank_pool(torch.from_numpy(v), C, epsilon, return_info=True)
        u = u.numpy()
        value = oracle.objective(u, v, C, epsilon)
        assert info.converged and info.relative_gap <= DUALITY_GAP
        assert info.objective.item() == pytest.approx(value, rel=DUALITY_GAP, abs=FLOAT64)
        assert oracle.newton_decrement(u, v, C, epsilon) <= DUALITY_GAP * value + FLOAT64


@pytest.mark.parametrize("shape", [(40, 100), (120, 10)])
@pytest.mark.parametrize("kind", ["walk", "relu", "raw"])
@pytest.mark.parametrize(("C", "epsilon"), [(2.0, 0.1), (0.5, 3.0), (20.0, 0.0)])
def test_same_objective_as_liblinear(shape, kind, C, epsilon):
    v = video(*shape, kind)
    peer = LinearSVR(
        loss="squared_epsilon_insensitive", C=C / 2, epsilon=epsilon, fit_intercept=False, tol=1e-10, max_iter=200_000,
        dual=True,
    ).fit(v, np.arange(1, len(v) + 1))  # fmt: skip
    ours = oracle.objective(rank_pool(torch.from_numpy(v), C, epsilon).numpy(), v, C, epsilon)
    theirs = oracle.objective(peer.coef_, v, C, epsilon)
    assert np.linalg.norm(peer.coef_) > 0.1
    assert ours <= theirs * (1 + FLOAT64)
    assert ours == pytest.approx(theirs, rel=LIBLINEAR_OBJECTIVE)


def test_the_certificate_bounds_the_distance_of_any_iterate():
    v = torch.from_numpy(video(60, 90, "walk"))
    best, needed = solved(v, 200.0, 5.0)
    assert needed > 3
    for steps in range(needed):
        early, _ = solved(v, 200.0, 5.0, max_steps=steps)
        excess = (early.objective - best.objective) / early.objective
        assert -FLOAT64 <= excess <= early.relative_gap + FLOAT64
    assert solved(v, 200.0, 5.0, max_steps=1)[0].relative_gap > DUALITY_GAP


def test_warns_when_the_gap_is_not_reached(monkeypatch):
    one = partial(solve, max_steps=1)
    monkeypatch.setattr("vidfeat.pooling.rank_batch.solve", one)
    with pytest.warns(ConvergenceWarning, match=r"relative duality gap of .* after 2 Newton steps \(video 0, C=200"):
        _, info = rank_pool(torch.from_numpy(video(60, 90, "walk")), 200.0, 5.0, return_info=True)
    assert not info.converged


@pytest.mark.parametrize("shape", [(60, 90), (90, 12)])
@pytest.mark.parametrize(("C", "epsilon"), SETTINGS)
def test_torch_arrays_of_a_gpu_take_the_same_way(shape, C, epsilon, monkeypatch):
    """On a CPU the solver works on NumPy arrays; here it is made to keep tensors, as it does on a GPU."""
    batch = torch.stack([torch.from_numpy(video(*shape, "walk", seed=seed)) for seed in range(3)])
    lengths = [shape[0], shape[0] // 2, 3]
    expected, info = rank_pool(batch, C, epsilon, lengths, return_info=True)
    monkeypatch.setattr("vidfeat.pooling.rank_solver._array", lambda tensor: tensor)
    pooled, own = rank_pool(batch, C, epsilon, lengths, return_info=True)
    assert torch.equal(own.steps, info.steps)
    np.testing.assert_allclose(pooled, expected, rtol=FLOAT32, atol=FLOAT32 * float(expected.abs().max()))


UNDAMPED_CYCLES = {
    "tall": [[-3, 0], [2, -2], [-2, -2]],
    "wide": [[-3, 0, 0], [2, -2, 0], [-2, -2, 0]],
}


@pytest.mark.parametrize("name", UNDAMPED_CYCLES)
def test_damping_ends_the_cycles_of_newtons_method(name, monkeypatch):
    v = torch.tensor(UNDAMPED_CYCLES[name], dtype=torch.float64)
    damped, steps = solved(v, 1000.0, 0.5)
    assert damped.relative_gap <= CERTIFIED and steps < 10
    monkeypatch.setattr("vidfeat.pooling.rank_solver._shortened", lambda space, here, newton, *state: newton)
    assert solved(v, 1000.0, 0.5)[0].relative_gap > CERTIFIED  # the example really needs it


def test_one_frame_has_the_closed_form():
    v, C, epsilon = np.array([[3.0, 4.0]]), 2.0, 0.1
    expected = C * (1 - epsilon) / (1 + C * 25) * v[0]
    np.testing.assert_allclose(rank_pool(torch.from_numpy(v), C, epsilon).numpy(), expected, rtol=FLOAT64)


@pytest.mark.parametrize("shape", [(20, 50), (50, 20)])
def test_a_tube_as_wide_as_the_video_gives_zero(shape):
    v = torch.from_numpy(video(*shape, "raw"))
    u, info = rank_pool(v, epsilon=shape[0], return_info=True)
    assert not u.any() and info.converged and info.objective == 0 and info.steps == 0
    assert rank_pool(v, epsilon=shape[0] - 0.5).any()


def test_all_frames_zero_gives_zero():
    u, info = rank_pool(torch.zeros(5, 3), return_info=True)
    assert not u.any() and info.converged


@pytest.mark.parametrize("shape", [(40, 60), (60, 40)])
@pytest.mark.parametrize("C", [1e-8, 1e8])
@pytest.mark.parametrize("kind", KINDS)
def test_extreme_weights(shape, C, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        u = rank_pool(torch.from_numpy(video(*shape, kind)), C)
    assert u.isfinite().all() and u.any()


def test_frames_ranked_in_order():
    v = video(50, 200, "walk")
    scores = v @ rank_pool(torch.from_numpy(v), C=100.0).numpy()
    assert (np.diff(scores) > 0).mean() > 0.95


def test_a_shift_of_the_axes_turns_the_result_with_it():
    v = video(20, 30, "walk")
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))[0]
    expected = turn @ rank_pool(torch.from_numpy(v)).numpy()
    np.testing.assert_allclose(rank_pool(torch.from_numpy(v @ turn.T)).numpy(), expected, atol=FLOAT64)


def test_wide_and_tall_forms_agree():
    # Zero columns change nothing but which of the two systems is solved.
    v = video(40, 20, "walk")
    wide = np.hstack([v, np.zeros((40, 30))])
    for C, epsilon in SETTINGS:
        tall = rank_pool(torch.from_numpy(v), C, epsilon)
        np.testing.assert_allclose(
            rank_pool(torch.from_numpy(wide), C, epsilon)[:20], tall, atol=FLOAT32 * tall.abs().max().item()
        )


def test_float32_in_float32_out_computed_in_float64():
    v = torch.from_numpy(video(60, 90, "relu")).float()
    u = rank_pool(v)
    assert u.dtype == torch.float32
    assert torch.equal(u, rank_pool(v.double()).float())


def test_batch_equals_single_videos_and_ignores_padding():
    lengths = [5, 1, 12]
    batch = torch.full((3, 12, 8), torch.nan, dtype=torch.float64)
    for index, length in enumerate(lengths):
        batch[index, :length] = torch.from_numpy(video(length, 8, "raw", seed=index))
    pooled, info = rank_pool(batch, lengths=torch.tensor(lengths), return_info=True)
    assert pooled.shape == (3, 8) and info.steps.shape == info.relative_gap.shape == (3,)
    for index, length in enumerate(lengths):
        np.testing.assert_allclose(pooled[index], rank_pool(batch[index, :length]), rtol=FLOAT64)
    full = torch.randn(2, 6, 4, dtype=torch.float64)
    np.testing.assert_allclose(rank_pool(full)[1], rank_pool(full[1]), rtol=FLOAT64)


def test_input_is_not_changed():
    v = torch.randn(9, 4, dtype=torch.float64)
    before = v.clone()
    rank_pool(v)
    assert torch.equal(v, before)


GOOD = torch.ones(4, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"C": 0.0}, r"C=0\.0 is not allowed.*finite number > 0"),
        ({"C": float("inf")}, "C=inf"),
        ({"C": float("nan")}, "C=nan"),
        ({"epsilon": -0.1}, r"epsilon=-0\.1 is not allowed.*≥ 0"),
        ({"v": np.ones((4, 3))}, "torch tensor, not ndarray.*torch.from_numpy"),
        ({"v": torch.ones(4, 3, dtype=torch.int64)}, r"float32 or float64 frames, not torch\.int64"),
        ({"v": torch.ones(4)}, r"\[T, D\] or a padded batch \[B, T, D\], not a tensor of shape \[4\]"),
        ({"v": torch.ones(0, 3)}, r"\[0, 3\] hold an empty video"),
        ({"v": torch.tensor([[1.0], [torch.nan]])}, "Frame 1 of the video holds NaN or infinite"),
        ({"v": torch.tensor([[[1.0]], [[-torch.inf]]])}, "Frame 0 of video 1 of the batch holds NaN or infinite"),
        ({"v": torch.tensor([[1e200]], dtype=torch.float64)}, r"reach 1\.0e\+200, more than .*scale them down"),
        ({"lengths": [4]}, r"lengths came with a tensor of shape \[4, 3\]"),
        ({"v": torch.ones(2, 4, 3), "lengths": [4, 5]}, r"\[4, 5\]; each must lie in 1…4"),
        ({"v": torch.ones(2, 4, 3), "lengths": [0, 4]}, r"each must lie in 1…4"),
        ({"v": torch.ones(2, 4, 3), "lengths": [4]}, r"shape \[1\]; a batch \[2, 4, 3\] needs one for each of 2"),
        ({"v": torch.ones(2, 4, 3), "lengths": [1.5, 2]}, "lengths have dtype torch.float32; allowed are integers"),
        ({"gradient": "none"}, "gradient='none' is unknown. Allowed: exact, diag"),
    ],
)
def test_refused_input_is_named(arguments, words):
    with pytest.raises(UsageError, match=words):
        rank_pool(**{"v": GOOD, **arguments})


def test_without_gradient_mode_a_parameter_is_fine():
    with torch.no_grad():
        assert not rank_pool(torch.ones(4, 3, requires_grad=True)).requires_grad
