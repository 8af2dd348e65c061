"""The compiled steps in frame space against those of the solver itself."""

import numpy as np
import pytest
import torch
from test_rank_pool import video
from tolerances import FLOAT64

from vidfeat.pooling import rank_solver
from vidfeat.pooling.frames import Frames
from vidfeat.pooling.rank_kernels import descend
from vidfeat.pooling.rank_solver import solve
from vidfeat.pooling.rank_spaces import FrameSpace

CASES = [
    (shape, kind, C, epsilon)
    for shape in ((3, 9), (40, 64), (120, 300))
    for kind in ("walk", "relu", "raw")
    for C, epsilon in ((2.0, 0.1), (200.0, 0.1), (2.0, 5.0), (1e4, 1.0), (1e-6, 0.1))
]


def space_of(shape, kind, C):
    frames = Frames(torch.from_numpy(video(*shape, kind))[None])
    return FrameSpace.of(frames.gram(), frames.real, C)


@pytest.mark.parametrize(("shape", "kind", "C", "epsilon"), CASES, ids=str)
def test_steps_are_those_of_the_solver(shape, kind, C, epsilon, monkeypatch):
    space = space_of(shape, kind, C)
    point, steps = solve(space, epsilon)
    monkeypatch.setattr(FrameSpace, "is_compiled", False)
    expected, as_many = solve(space, epsilon)
    assert as_many[0] <= steps[0] <= as_many[0] + 1  # once more where a rounded gap does not look certain
    assert point.objective[0] == pytest.approx(expected.objective[0], rel=1e-13)
    scale = expected.x.abs().max()
    assert (point.x - expected.x).abs().max() <= FLOAT64 * max(scale, 1e-300) * max(1.0, C)


def test_most_problems_are_solved_by_the_compiled_steps_alone():
    """Else the comparison above would compare the solver with itself."""
    finished = 0
    for shape, kind, C, epsilon in CASES:
        space, alpha = space_of(shape, kind, C), np.zeros(shape[0])
        descend(space.kernel[0].numpy(), space.base[0].numpy(), C, epsilon, alpha, 500)
        begin = torch.from_numpy(alpha)[None]
        target = np.arange(1.0, shape[0] + 1)[None]
        point = rank_solver._certify(space, alpha[None], space.predict(begin).numpy(), target, epsilon)
        finished += point.relative_gap[0] <= 1e-12
    assert finished >= 0.7 * len(CASES)


def test_steps_that_rise_are_shortened():
    """Full steps alone would cycle between these three frames; see the test of the solver."""
    v = torch.tensor([[-3, 0, 0], [2, -2, 0], [-2, -2, 0]] + [[0, 0, 0.0]] * 9, dtype=torch.float64)
    frames = Frames(v[None])
    space, alpha = FrameSpace.of(frames.gram(), frames.real, 1000.0), np.zeros(12)
    assert 0 < descend(space.kernel[0].numpy(), space.base[0].numpy(), 1000.0, 0.5, alpha, 500) < 20
    residual = np.arange(1, 13) - space.kernel[0].numpy() @ alpha
    error = residual - np.clip(residual, -0.5, 0.5)
    assert np.allclose(alpha, 1000.0 * error, rtol=1e-9, atol=1e-6)


def test_it_goes_on_from_where_it_is_told_and_stops_when_told():
    space = space_of((40, 64), "walk", 200.0)
    K, L = space.kernel[0].numpy(), space.base[0].numpy()
    whole, parts = np.zeros(40), np.zeros(40)
    steps = descend(K, L, 200.0, 0.1, whole, 500)
    assert steps > 1
    assert descend(K, L, 200.0, 0.1, parts, 1) == 1
    assert not np.allclose(parts, whole)
    assert descend(K, L, 200.0, 0.1, parts, 500) == steps - 1
    assert np.allclose(parts, whole, rtol=1e-12)
    assert descend(K, L, 200.0, 0.1, parts, 0) == 0
