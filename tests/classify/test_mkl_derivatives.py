"""Derivatives of J(β), and the model that a step of SimpleMKL minimises."""

import numpy as np
import pytest

from vidfeat.classify.mkl_linear import LinearNodes
from vidfeat.classify.mkl_machines import Machines
from vidfeat.classify.mkl_solver import _hessian
from vidfeat.classify.mkl_spaces import Streams

COMBINATIONS = ["concatenation", "averaging"]


def machines(combination, C=1e3, seed=0):
    """Three classes that nodes tell apart to different degrees; without items at the bound for a large C."""
    random = np.random.default_rng(seed)
    y = np.arange(30) % 3
    nodes = np.abs(random.normal(size=(30, 4, 50))) + np.arange(4)[:, None] * 0.2 * random.random((3, 4, 50))[y]
    space = Streams([LinearNodes(nodes, combination, False, 1e9, single=False)])
    return Machines(space, y[:, None] == np.arange(3), C, 1e-12, None)


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_the_second_derivative_is_that_of_differences(combination):
    trained = machines(combination)
    random = np.random.default_rng(1)
    beta = np.array([0.1, 0.2, 0.3, 0.4])
    point = trained.at(beta)
    exact = trained.bend(point)
    if combination == "averaging":
        exact = exact - trained.space.cross(point.A)
    for _ in range(3):
        d = random.normal(size=4)
        d -= d.mean()
        step = 1e-4 * d / np.abs(d).max()
        up, down = trained.at(beta + step), trained.at(beta - step)
        assert up.value - down.value == pytest.approx(-2 * point.fall @ step, rel=1e-5)
        assert up.value + down.value - 2 * point.value == pytest.approx(step @ exact @ step, rel=1e-3)


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("C", [0.05, 1.0, 1e3])
def test_the_model_of_a_step_is_convex(combination, C):
    trained = machines(combination, C)
    for beta in (np.full(4, 0.25), np.array([0.7, 0.3, 0.0, 0.0])):
        point = trained.at(beta)
        hessian, bend = _hessian(trained, point, combination == "averaging"), trained.bend(point)
        assert np.linalg.eigvalsh(hessian)[0] >= -1e-9 * np.trace(hessian)
        if combination == "concatenation" and C == 1e3:  # J falls as 1/s along β, its reciprocal is straight
            assert abs(beta @ hessian @ beta) <= 1e-2 * (beta @ bend @ beta)
