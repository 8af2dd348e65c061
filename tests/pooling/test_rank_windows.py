"""Many windows, directions and values of C from one Gram matrix, against each of them solved alone."""

import numpy as np
import pytest
import torch
from oracles import rank as oracle
from tolerances import DUALITY_GAP, FLOAT64

from vidfeat.errors import UsageError
from vidfeat.pooling import ConvergenceWarning, prepare_frames, rank_pool, rank_pool_windows
from vidfeat.pooling import rank_windows as module

CS = (0.1, 2.0, 200.0)
PREPARATIONS = [{}, {"smooth": False}, {"map": "posneg"}, {"map": "ssr"}, {"normalize_frames": False}]


def features(T, D, seed=0):
    x = np.maximum(np.random.default_rng(seed).normal(size=(T, D)).cumsum(axis=0), 0)
    x[: T // 5] = 0
    return torch.from_numpy(x).float()


@pytest.mark.parametrize("options", PREPARATIONS, ids=str)
@pytest.mark.parametrize("shape", [(60, 200), (90, 40), (1, 5)])
def test_every_window_is_pooled_as_if_alone(shape, options):
    x = features(*shape)
    T = len(x)
    windows = [(0, T)] + ([(0, T // 2), (T // 2, T), (3, T - 4), (7, 8)] if T > 8 else [])
    pooled = rank_pool_windows(x, windows, CS, 0.2, reverse=(False, True), **options)
    assert len(pooled) == 2 * len(windows)
    for place, one in enumerate(pooled):
        part = x[slice(*windows[place // 2])]
        v = prepare_frames(part.flip(0) if place % 2 else part, **options)
        assert (one.relative_gap <= DUALITY_GAP).all()
        for u, scores, C in zip(one.u, one.scores, CS, strict=True):
            expected = rank_pool(v, C, 0.2)
            scale = max(float(expected.abs().max()), 1e-12)
            np.testing.assert_allclose(u, expected, atol=10 * FLOAT64 * scale)
            np.testing.assert_allclose(scores, v @ expected, atol=10 * FLOAT64 * T)


def test_frames_that_cancel_are_not_taken_from_the_gram_matrix():
    """m_2 = 0 exactly, but not as a sum of rounded inner products; 'zero frames stay zero' must hold."""
    first = torch.randn(50, generator=torch.Generator().manual_seed(0)) * 1e3
    x = torch.stack([first, -first, first + 1.0, first * 0.5])
    one = rank_pool_windows(x, [(0, 4)])[0]
    v = torch.from_numpy(oracle.prepared(x.numpy()))
    assert not v[1].any()
    np.testing.assert_allclose(one.u[0], rank_pool(v), atol=FLOAT64 * float(one.u.abs().max()))


@pytest.mark.parametrize("stride", [1, 7])
def test_short_windows_share_small_gram_matrices(stride, monkeypatch):
    sizes = []
    kernel = module._Means.kernel

    def watch(self, batch):
        sizes.append(self.frames.shape[1])
        return kernel(self, batch)

    monkeypatch.setattr(module._Means, "kernel", watch)
    x = features(700, 30)
    windows = [(start, start + 10) for start in range(0, 690, stride)]
    pooled = rank_pool_windows(x, windows)
    assert max(sizes) <= module._SPAN < 700
    for place in (0, len(windows) // 2, len(windows) - 1):
        expected = rank_pool(prepare_frames(x[slice(*windows[place])]))
        np.testing.assert_allclose(
            pooled[place].u[0], expected, atol=10 * FLOAT64 * max(1, float(expected.abs().max()))
        )


@pytest.mark.parametrize("map", ["none", "ssr"])
def test_bad_frames_are_named(map):
    x = features(20, 30)
    x[13, 4] = torch.nan
    with pytest.raises(UsageError, match="Frame 13 of the video holds NaN or infinite values"):
        rank_pool_windows(x, [(0, 20)], map=map)


def test_wrong_weights_are_refused_and_short_solutions_said(monkeypatch):
    with pytest.raises(UsageError, match=r"C=-1\.0 is not allowed"):
        rank_pool_windows(features(5, 4), [(0, 5)], (1.0, -1.0))
    solve = module.solve
    monkeypatch.setattr(module, "solve", lambda space, epsilon, start: solve(space, epsilon, start, max_steps=1))
    with pytest.warns(ConvergenceWarning, match="C=200"):
        rank_pool_windows(torch.randn(60, 90), [(0, 60)], (200.0,), 5.0, smooth=False)
