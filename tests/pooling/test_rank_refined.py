"""Float32 frames: their Gram matrix is computed in float32, everything that decides in float64."""

import numpy as np
import pytest
import torch
from oracles import rank as oracle
from test_rank_pool import video
from tolerances import DUALITY_GAP, FLOAT32, FLOAT64, SINGLE_SUM

import vidfeat.pooling.rank_batch as rank_batch
from vidfeat.crew import torch_threads
from vidfeat.errors import UsageError
from vidfeat.pooling import rank_pool, rank_solver
from vidfeat.pooling.frames import Frames
from vidfeat.pooling.rank_refined import RefinedFrameSpace
from vidfeat.pooling.rank_spaces import FrameSpace

pytestmark = pytest.mark.usefixtures("refine_short_videos_too")


def single(T, D, kind="relu", seed=0):
    return torch.from_numpy(video(T, D, kind, seed)).to(torch.float32)


def solved_in(v, C, epsilon=0.1):
    return rank_batch.pool_group(Frames(v[None]), C, epsilon)


@pytest.mark.parametrize("kind", ["walk", "relu", "raw", "repeated"])
@pytest.mark.parametrize("shape", [(1, 7), (30, 64), (64, 64), (90, 130)])
@pytest.mark.parametrize(("C", "epsilon"), [(2.0, 0.1), (200.0, 0.1), (20.0, 4.0), (1e-6, 0.0)])
def test_the_optimum_is_that_of_float64(shape, kind, C, epsilon):
    v = single(*shape, kind)
    pooled = solved_in(v, C, epsilon)
    expected = rank_pool(v.to(torch.float64), C, epsilon)
    wanted = oracle.objective(expected.numpy(), v.double().numpy(), C, epsilon)
    assert max(pooled.point.relative_gap) <= DUALITY_GAP
    assert pooled.point.objective[0] == pytest.approx(wanted, rel=DUALITY_GAP, abs=FLOAT64)
    np.testing.assert_allclose(pooled.u[0], expected, atol=FLOAT32 * float(expected.abs().max() + FLOAT64))


def test_the_kernel_is_that_of_float32_only_where_its_error_can_be_mended():
    v = single(60, 90, "walk")
    assert isinstance(solved_in(v, 2.0).space, RefinedFrameSpace)
    assert type(solved_in(v, 1e6).space) is FrameSpace
    assert type(solved_in(v.double(), 2.0).space) is FrameSpace
    assert type(solved_in(1e10 * v, 2.0).space) is FrameSpace
    assert type(solved_in(1e25 * v, 2.0).space) is FrameSpace  # products overflow


def test_an_optimum_out_of_reach_is_sought_in_float64(monkeypatch):
    """A kernel that is wrong by more than rounding stands for one that refinement cannot mend."""
    monkeypatch.setattr(Frames, "single_gram", lambda self: 0.01 * self.gram())
    v = single(60, 90, "walk")
    pooled = solved_in(v, 200.0)
    assert type(pooled.space) is FrameSpace
    assert max(pooled.point.relative_gap) <= DUALITY_GAP


def test_a_poor_kernel_is_mended_and_the_certificate_tells(monkeypatch):
    exact = Frames.gram
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 60)))
    monkeypatch.setattr(Frames, "single_gram", lambda self: exact(self) + 1e-5 * (noise + noise.T))
    v = single(60, 90, "walk")
    pooled = solved_in(v, 20.0)
    assert isinstance(pooled.space, RefinedFrameSpace)
    assert max(pooled.point.relative_gap) <= DUALITY_GAP
    np.testing.assert_allclose(pooled.u[0], rank_pool(v.double(), 20.0), atol=FLOAT32)


def test_the_gradient_of_a_poor_kernel_is_mended_too(monkeypatch):
    v = single(60, 90, "walk")
    w = v.double().requires_grad_()
    rank_pool(w, 20.0).square().sum().backward()
    exact = Frames.gram
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 60)))
    monkeypatch.setattr(Frames, "single_gram", lambda self: exact(self) + 1e-5 * (noise + noise.T))
    v.requires_grad_()
    rank_pool(v, 20.0).square().sum().backward()
    np.testing.assert_allclose(v.grad, w.grad, atol=3 * FLOAT32 * float(w.grad.abs().max()))


def test_batches_of_padded_float32_videos():
    lengths = [60, 55, 50, 13, 1]
    batch = torch.full((5, 60, 80), torch.nan)
    for row, length in enumerate(lengths):
        batch[row, :length] = single(length, 80, "walk", seed=row)
    kept = batch.clone()
    together = rank_pool(batch, 200.0, 0.5, lengths)
    assert torch.equal(batch.nan_to_num(), kept.nan_to_num())
    for row, length in enumerate(lengths):
        alone = rank_pool(batch[row, :length].double(), 200.0, 0.5)
        np.testing.assert_allclose(together[row], alone, atol=FLOAT32 * float(alone.abs().max()))


@pytest.mark.parametrize("view", ["transposed", "every second feature", "every second frame"])
def test_frames_anywhere_in_memory(view):
    v = single(60, 80, "walk")
    v = {
        "transposed": v.T[:40].contiguous().T[:30],
        "every second feature": v[:, ::2][:30],
        "every second frame": v[::2],
    }[view]
    np.testing.assert_allclose(rank_pool(v), rank_pool(v.contiguous().double()), atol=FLOAT32 * 30)


@pytest.mark.parametrize("shape", [(1, 1), (2, 1500), (3, 1024), (5, 7), (9, 2049), (130, 3)])
def test_compiled_products(shape):
    from vidfeat.pooling import frame_kernels

    random = np.random.default_rng(0)
    v, w, u = random.normal(size=shape).astype(np.float32), random.normal(size=shape[0]), random.normal(size=shape[1])
    summed, fit = np.full(shape[1], np.nan), np.full(shape[0] + 2, np.nan)
    frame_kernels.combine(v, w, summed)
    np.testing.assert_allclose(summed, v.astype(float).T @ w, atol=FLOAT64)
    frame_kernels.predict(v, u, fit)
    np.testing.assert_allclose(fit, [*(v.astype(float) @ u), 0, 0], atol=FLOAT64)
    frame_kernels.combine_and_predict(v, w, summed, fit)
    np.testing.assert_allclose(fit, [*(v.astype(float) @ (v.astype(float).T @ w)), 0, 0], rtol=FLOAT64)


def test_short_videos_are_not_worth_it(monkeypatch):
    v = single(60, 90, "walk")
    assert isinstance(solved_in(v, 2.0).space, RefinedFrameSpace)
    monkeypatch.undo()
    assert type(solved_in(v, 2.0).space) is FrameSpace
    assert isinstance(solved_in(single(300, 310, "walk"), 2.0).space, RefinedFrameSpace)


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (3, 5), (4, 8), (5, 512), (7, 600), (96, 513), (101, 40), (197, 96)])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_compiled_gram_matrix(shape, threads, monkeypatch):
    from vidfeat.pooling import single_gram as module

    monkeypatch.setattr(module, "_SHARE", 1)
    random = np.random.default_rng(0)
    v = random.normal(size=shape).astype(np.float32)
    found = np.full((len(v), len(v)), np.nan)
    module.single_gram([v], found, threads)
    exact = v.astype(float) @ v.astype(float).T
    size = np.linalg.norm(v.astype(float), axis=1)
    assert (abs(found - exact) <= SINGLE_SUM * size[:, None] * size).all()
    assert np.array_equal(found, found.T)


def test_the_compiled_gram_matrix_is_the_same_on_any_number_of_threads(monkeypatch):
    from vidfeat.pooling import single_gram as module

    monkeypatch.setattr(module, "_SHARE", 1)
    v = np.random.default_rng(0).normal(size=(130, 700)).astype(np.float32)
    results = [np.empty((130, 130)) for _ in range(4)]
    for threads, result in enumerate(results, start=1):
        module.single_gram([v], result, threads)
    assert all(np.array_equal(results[0], result) for result in results)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_compiled_gram_matrix_shows_frames_that_are_not_finite(bad):
    from vidfeat.pooling.single_gram import single_gram

    v = np.ones((9, 20), dtype=np.float32)
    v[4, 7] = bad
    found = np.empty((9, 9))
    single_gram([v], found, 1)
    assert not np.isfinite(found[4]).any()
    assert (np.delete(np.delete(found, 4, 0), 4, 1) == 20).all()


@pytest.mark.parametrize("gradient", ["exact", "diag"])
def test_videos_shared_among_threads_are_pooled_as_if_alone(gradient):
    lengths = [40, 38, 12, 40, 25]
    batch = torch.zeros(5, 40, 60)
    for row, length in enumerate(lengths):
        batch[row, :length] = single(length, 60, "walk", seed=row)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        together = batch.clone().requires_grad_()
        pooled = rank_pool(together, 20.0, 0.5, lengths, gradient=gradient)
        pooled.square().sum().backward()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    for row, length in enumerate(lengths):
        alone = batch[row, :length].clone().requires_grad_()
        expected = rank_pool(alone, 20.0, 0.5, gradient=gradient)
        expected.square().sum().backward()
        pairs = ((pooled[row], expected), (together.grad[row, :length], alone.grad))
        for found, wanted in pairs:
            scale = float(wanted.detach().abs().max())
            np.testing.assert_allclose(found.detach(), wanted.detach(), atol=FLOAT32 * scale)
        assert not together.grad[row, length:].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_groups_of_a_thread_and_groups_of_all_threads(monkeypatch, dtype):
    """A batch in one group, in many that threads share, in large ones: the same pooled vectors and gradients."""
    lengths = [40, 38, 12, 40, 25, 7, 33]
    batch = torch.stack([single(40, 60, "walk", seed=row) for row in range(7)]).to(dtype)
    threads = []
    pool_group = rank_batch.pool_group

    def watched(frames, *others):
        threads.append((len(frames.lengths), torch.get_num_threads(), frames.threads))
        return pool_group(frames, *others)

    monkeypatch.setattr("vidfeat.pooling.rank.pool_group", watched)

    def run(count):
        with torch_threads(count):
            v = batch.clone().requires_grad_()
            u = rank_pool(v, 20.0, 0.5, lengths)
            u.square().sum().backward()
            assert torch.get_num_threads() == count
            return u.detach(), v.grad

    u, gradient = run(1)
    assert [videos for videos, _, _ in threads] == [4, 1, 1, 1]  # of similar lengths
    monkeypatch.setattr(rank_batch, "_CPU_WORK", 1)
    small = [run(count) for count in (1, 2, 3)]
    assert all(videos == 1 and torch_has == own == 1 for videos, torch_has, own in threads[-14:])
    monkeypatch.setattr(rank_batch, "_CPU_GROUP", 1)
    large = run(3)
    assert threads[-7:] == [(1, 3, 3)] * 7
    for found, slope in (*small, large):
        assert torch.allclose(found, u, rtol=FLOAT32, atol=FLOAT32)
        assert torch.allclose(slope, gradient, rtol=FLOAT32, atol=FLOAT32)
    for found, slope in small[1:]:
        assert torch.equal(found, small[0][0]) and torch.equal(slope, small[0][1])


def test_a_bad_frame_among_videos_shared_among_threads():
    batch = torch.stack([single(30, 50, "walk", seed=row) for row in range(4)])
    batch[2, 7, 3] = torch.nan
    with pytest.raises(UsageError, match="Frame 7 of video 2 of the batch holds NaN"):
        rank_pool(batch)


def test_one_step_of_compiled_code_ends_what_a_kernel_in_float32_leaves():
    v = single(120, 300, "walk")
    frames = Frames(v[None])
    rough = FrameSpace.of(frames.single_gram(), frames.real, 2.0)
    start, _ = rank_solver.solve(rough, 0.1, retry=False)
    space = RefinedFrameSpace(rough.kernel, frames.real, 2.0, rough.base, 1, frames)
    alpha, fit, steps = space.first_steps(0.1, start.x, 500)
    assert steps == [1]
    np.testing.assert_allclose(fit, frames.predict(frames.combine(alpha)), rtol=FLOAT64)
    point, more = rank_solver.solve(space, 0.1, start=start.x, retry=False)
    assert more == [1] and max(point.relative_gap) <= DUALITY_GAP
