"""Float32 videos with more frames than features: matrices of features in float32, what decides in float64."""

import numpy as np
import pytest
import torch
from oracles import rank as oracle
from test_rank_refined import single, solved_in
from tolerances import DUALITY_GAP, FLOAT32, FLOAT64, SINGLE_SUM

import vidfeat.pooling.frames as frames_module
from vidfeat.pooling import rank_pool, single_gram
from vidfeat.pooling.frames import Frames
from vidfeat.pooling.rank_factor import triangular_factor
from vidfeat.pooling.rank_refined import RefinedFeatureSpace
from vidfeat.pooling.rank_spaces import FeatureSpace

pytestmark = pytest.mark.usefixtures("refine_short_videos_too")


@pytest.mark.parametrize("kind", ["walk", "relu", "raw", "repeated"])
@pytest.mark.parametrize("shape", [(9, 1), (64, 30), (130, 90)])
@pytest.mark.parametrize(("C", "epsilon"), [(2.0, 0.1), (200.0, 0.1), (20.0, 4.0), (1e-6, 0.0)])
def test_the_optimum_is_that_of_float64(shape, kind, C, epsilon):
    v = single(*shape, kind)
    pooled = solved_in(v, C, epsilon)
    expected = rank_pool(v.double(), C, epsilon)
    wanted = oracle.objective(expected.numpy(), v.double().numpy(), C, epsilon)
    assert max(pooled.point.relative_gap) <= DUALITY_GAP
    assert pooled.point.objective[0] == pytest.approx(wanted, rel=DUALITY_GAP, abs=FLOAT64)
    np.testing.assert_allclose(pooled.u[0], expected, atol=FLOAT32 * float(expected.abs().max() + FLOAT64))


def test_where_float32_will_do():
    v = single(120, 40, "walk")
    first, second, third = (solved_in(v, C).space for C in (2.0, 3e4, 1e9))
    assert isinstance(first, RefinedFeatureSpace) and first.single
    assert isinstance(second, RefinedFeatureSpace) and not second.single
    assert type(third) is FeatureSpace
    assert type(solved_in(v.double(), 2.0).space) is FeatureSpace
    assert type(solved_in(1e10 * v, 2.0).space) is FeatureSpace
    assert type(solved_in(1e25 * v, 2.0).space) is FeatureSpace  # products overflow


def test_an_optimum_out_of_reach_is_sought_in_float64(monkeypatch):
    monkeypatch.setattr(Frames, "single_feature_gram", lambda self, kept: 0.01 * self.feature_gram(kept))
    pooled = solved_in(single(120, 40, "walk"), 200.0)
    assert type(pooled.space) is FeatureSpace and max(pooled.point.relative_gap) <= DUALITY_GAP


def poor(monkeypatch, D):
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(D, D)))
    exact = Frames.feature_gram
    monkeypatch.setattr(Frames, "single_feature_gram", lambda self, kept: exact(self, kept) + 1e-5 * (noise + noise.T))


def test_a_poor_matrix_is_mended_and_so_is_the_gradient(monkeypatch):
    v = single(120, 40, "walk")
    exact = v.double().requires_grad_()
    rank_pool(exact, 20.0).square().sum().backward()
    poor(monkeypatch, 40)
    pooled = solved_in(v, 20.0)
    assert isinstance(pooled.space, RefinedFeatureSpace) and max(pooled.point.relative_gap) <= DUALITY_GAP
    v.requires_grad_()
    rank_pool(v, 20.0).square().sum().backward()
    np.testing.assert_allclose(v.grad, exact.grad, atol=3 * FLOAT32 * float(exact.grad.abs().max()))


def test_sets_that_lose_many_frames():
    """A wide tube leaves few frames outside it: the matrix of those is made anew."""
    v = single(150, 40, "walk")
    pooled = solved_in(v, 20.0, epsilon=30.0)
    assert isinstance(pooled.space, RefinedFeatureSpace)
    assert 0 < int(pooled.point.side.abs().sum()) < 150 - 40 // 3
    expected = rank_pool(v.double(), 20.0, 30.0)
    np.testing.assert_allclose(pooled.u[0], expected, atol=FLOAT32 * float(expected.abs().max()))


def test_batches_of_padded_videos():
    lengths = [120, 100, 60, 13, 1]
    batch = torch.full((5, 120, 20), torch.nan)
    for row, length in enumerate(lengths):
        batch[row, :length] = single(length, 20, "walk", seed=row)
    together = rank_pool(batch, 200.0, 0.5, lengths)
    for row, length in enumerate(lengths):
        alone = rank_pool(batch[row, :length].double(), 200.0, 0.5)
        np.testing.assert_allclose(together[row], alone, atol=FLOAT32 * float(alone.abs().max()))


@pytest.mark.parametrize("columns", [7, 4096])
def test_the_matrix_of_some_frames(columns, monkeypatch):
    monkeypatch.setattr(frames_module, "_SINGLE_SUM", columns)
    monkeypatch.setattr(frames_module, "_PART", 1)
    monkeypatch.setattr(single_gram, "_SHARE", 1)
    v = torch.stack([single(50, 13, "walk", seed=seed) for seed in range(2)])
    real = torch.ones(2, 50, dtype=torch.float64)
    real[1, 30:] = 0
    v[1, 30:] = torch.nan
    kept = real * torch.from_numpy(np.random.default_rng(0).integers(0, 2, (2, 50)))
    for threads in (1, 2):
        frames = Frames(v, real, threads=threads)
        for own in (kept, real, 0 * real):
            found, wanted = frames.single_feature_gram(own), frames.feature_gram(own)
            np.testing.assert_allclose(found, wanted, atol=SINGLE_SUM * 50)
            assert torch.equal(found, found.mT)
            on_gpu = frames_module._single_products(v.masked_fill(own[:, :, None] == 0, 0.0).mT)
            np.testing.assert_allclose(on_gpu, wanted, atol=SINGLE_SUM * 50)


def test_a_gradient_out_of_reach_of_refinement_is_that_of_float64(monkeypatch):
    v = single(120, 40, "walk")
    frames, S = Frames(v[None]), torch.ones(1, 120, dtype=torch.float64)
    right = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 40)))
    exact = FeatureSpace.of(frames, frames.feature_gram(S), 20.0).factor(S).solve(right)
    wrong = RefinedFeatureSpace.of(frames, 0.5 * frames.feature_gram(S), 20.0)
    np.testing.assert_allclose(wrong.factor(S).solve(right), exact, rtol=FLOAT64)


def test_padding_of_videos_that_lose_frames():
    """Frames taken out of a factor are filled up to the same number for all videos, from wherever."""
    lengths = [120, 100]
    batch = torch.full((2, 120, 90), torch.nan)
    for row, length in enumerate(lengths):
        batch[row, :length] = single(length, 90, "walk", seed=row)
    for dtype in (torch.float32, torch.float64):
        v = batch.to(dtype, copy=True).requires_grad_()
        rank_pool(v, 2.0, 2.0, lengths).square().sum().backward()
        assert v.grad.isfinite().all()
        for row, length in enumerate(lengths):
            alone = batch[row, :length].detach().double().requires_grad_()
            rank_pool(alone, 2.0, 2.0).square().sum().backward()
            scale = float(alone.grad.abs().max())
            np.testing.assert_allclose(v.grad[row, :length], alone.grad, atol=3 * FLOAT32 * scale)
    real = (torch.arange(120) < torch.tensor(lengths)[:, None]).to(torch.float64)
    taken = Frames(batch, real).take(torch.tensor([[3, 119], [3, 119]]))
    assert torch.equal(taken[0], batch[0, [3, 119]].double()) and torch.equal(taken[1, 0], batch[1, 3].double())
    assert not taken[1, 1].any()


def test_a_factor_that_float32_cannot_have_is_one_of_float64():
    matrix = torch.ones(1, 8, 8, dtype=torch.float64)
    space = RefinedFeatureSpace(Frames(single(60, 8, "walk")[None]), 1e9, single=True)
    assert torch.linalg.cholesky_ex((matrix + 1e-9 * torch.eye(8)).float())[1].any()
    assert torch.equal(space.triangle(matrix), triangular_factor(matrix, 1e-9))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_frames_that_are_not_finite(number):
    v = single(60, 8, "walk")
    v[31, 5] = number
    with pytest.raises(FloatingPointError):
        solved_in(v, 2.0)
