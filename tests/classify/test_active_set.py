"""The active set method: the optimality conditions it promises, and what it leaves alone."""

import numpy as np
import pytest
from oracles import mkl as oracle
from tolerances import FLOAT64

from vidfeat.classify.active_set import refined, sets
from vidfeat.classify.libsvm import KernelProblem


def problem(n=60, D=40, machines=3, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, D))
    y = np.where(X[:, :machines].T + 0.8 * random.normal(size=(machines, n)) > 0, 1.0, -1.0)
    X -= X.mean(axis=0)
    return X @ X.T / D, y


def each(task, count):
    return [task(k) for k in range(count)]


def roughly(K, y, C, tol=0.1):
    """LIBSVM's machines at a loose tolerance."""
    found = np.array([KernelProblem(K).train(own > 0, C, tol=tol)[0] for own in y])
    return found - found.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("C", [0.5, 1.0, 100.0])
def test_machines_meet_their_optimality_conditions(C):
    K, y = problem()
    A, rho, rests = refined(K, y, roughly(K, y, C, 1e-2), C, each)
    assert rests.all()
    margin = y * (A @ K - rho[:, None])
    free, bound = sets(A, C)
    alpha = A * y
    assert free.any() and (alpha >= 0).all() and (alpha <= C * (1 + FLOAT64)).all()
    assert bound.any() == (C < 100)
    np.testing.assert_allclose(A.sum(axis=1), 0, atol=FLOAT64 * C)
    np.testing.assert_allclose(margin[free], 1, atol=1e-7)  # a ridge of 1e-10 times α
    assert (margin[~free & ~bound] >= 1 - 1e-7).all() and (margin[bound] <= 1 + 1e-7).all()


def test_the_value_is_that_of_a_general_solver():
    K, y = problem(n=30, machines=1)
    A, _, _ = refined(K, y, roughly(K, y, 1.0), 1.0, each)
    value, _ = oracle.svm(K, y[0], 1.0)
    assert np.abs(A).sum() - 0.5 * A[0] @ K @ A[0] == pytest.approx(value, rel=1e-6)


def test_more_free_items_than_dimensions():
    K, y = problem(n=60, D=5)
    A, rho, rests = refined(K, y, roughly(K, y, 10.0, 1e-3), 10.0, each)
    assert rests.any()
    free, _ = sets(A[rests], 10.0)
    np.testing.assert_allclose((y[rests] * (A[rests] @ K - rho[rests, None]))[free], 1, atol=1e-6)


def test_a_machine_without_free_items_is_left_as_it_came():
    K, y = problem(n=8, D=3, machines=2)
    y[0] = [1, -1] * 4
    start = np.array([y[0] * 0.1, roughly(K, y, 5.0)[1]])
    before = start.copy()
    A, _, rests = refined(K, y, start, 0.1, each)
    assert not rests[0]
    np.testing.assert_array_equal(A[0], before[0])
    np.testing.assert_array_equal(start, before)
