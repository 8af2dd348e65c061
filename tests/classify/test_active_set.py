"""The active set method: the optimality conditions it promises, and what it leaves alone."""

import numpy as np
import pytest
from oracles import mkl as oracle
from tolerances import FLOAT64

from vidfeat.classify.active_set import FreeItems, refined, sets
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


@pytest.mark.parametrize("rounded", [False, True])
def test_a_singular_kernel_of_the_free_items(rounded):
    """Three items twice each, all on their margin: K_ff has rank 3, or with entries in float32 is indefinite."""
    X = np.repeat(np.random.default_rng(0).normal(size=(3, 7)), 2, axis=0)
    X -= X.mean(axis=0)
    K = (X @ X.T).astype(np.float32).astype(np.float64) if rounded else X @ X.T
    y = np.array([[1.0, 1.0, -1.0, -1.0, 1.0, 1.0]])
    A, rho, at_rest = refined(K, y, 0.1 * y, 1e6, each)
    free, _ = sets(A, 1e6)
    assert at_rest.all() and free.all() and np.linalg.eigvalsh(K)[1] < 1e-6
    np.testing.assert_allclose(y * (A @ K - rho[:, None]), 1, atol=1e-6)
    np.testing.assert_allclose(A.sum(), 0, atol=FLOAT64)


def test_all_items_free_over_a_centred_kernel():
    """K has no inverse along 1, and the sum of the coefficients is not lost."""
    K, y = problem(n=30, D=200)
    A, rho, at_rest = refined(K, y, 0.1 * y, 1e5, each)
    assert at_rest.all() and sets(A, 1e5)[0].mean() > 0.9
    np.testing.assert_allclose(A.sum(axis=1), 0, atol=FLOAT64)
    margin = y * (A @ K - rho[:, None])
    np.testing.assert_allclose(margin[sets(A, 1e5)[0]], 1, atol=1e-9)


def test_curvature_is_that_of_the_inverse_on_sums_of_zero():
    random = np.random.default_rng(0)
    K, _ = problem(n=20, D=100)
    free, V = np.arange(3, 20, 2), random.normal(size=(9, 4))
    basis = np.linalg.qr(np.column_stack([np.ones(9), random.normal(size=(9, 8))]))[0][:, 1:]
    inverse = basis @ np.linalg.inv(basis.T @ K[np.ix_(free, free)] @ basis) @ basis.T
    np.testing.assert_allclose(FreeItems(K, free).curvature(V), V.T @ inverse @ V, rtol=1e-7)


def test_no_ridge_helps_what_is_no_kernel():
    with pytest.raises(np.linalg.LinAlgError, match="no ridge makes the kernel"):
        FreeItems(np.diag([1.0, -1.0, 1.0]), np.arange(3))
    y = np.array([[1.0, -1.0, 1.0]])
    A, _, at_rest = refined(np.diag([1.0, -1.0, 1.0]), y, 0.1 * y, 1.0, each)
    assert not at_rest.any() and A.tolist() == (0.1 * y).tolist()


def test_a_machine_without_free_items_is_left_as_it_came():
    K, y = problem(n=8, D=3, machines=2)
    y[0] = [1, -1] * 4
    start = np.array([y[0] * 0.1, roughly(K, y, 5.0)[1]])
    before = start.copy()
    A, _, rests = refined(K, y, start, 0.1, each)
    assert not rests[0]
    np.testing.assert_array_equal(A[0], before[0])
    np.testing.assert_array_equal(start, before)
