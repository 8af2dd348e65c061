import numpy as np
import pytest
from oracles import kernel_pairs
from sklearn.metrics.pairwise import chi2_kernel, rbf_kernel
from tolerances import FLOAT32, FLOAT64

from vidfeat.errors import UsageError
from vidfeat.kernels import (
    KERNELS,
    NON_NEGATIVE,
    WITH_GAMMA,
    base_matrix,
    from_base,
    kernel_matrix,
    linear,
    mean_distance,
    pairs,
)
from vidfeat.kernels.torch_pairs import torch_base

RANDOM = np.random.default_rng(0)


def codes(n, D, dtype=np.float32):
    """Nowhere negative, a third of them zero, so that 0/0 occurs."""
    return (np.abs(RANDOM.normal(size=(n, D))) * (RANDOM.random((n, D)) > 1 / 3)).astype(dtype)


@pytest.fixture
def small_blocks(monkeypatch):
    for module in (linear, pairs):
        monkeypatch.setattr(module, "_ROWS", 7)
        monkeypatch.setattr(module, "_COLUMNS", 11)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_base_matrices_are_those_of_plain_loops(kernel, dtype, small_blocks):
    X, Y = codes(20, 25, dtype), codes(9, 25, dtype)
    before = X.copy()
    np.testing.assert_allclose(base_matrix(kernel, X, Y), kernel_pairs.base(kernel, X, Y), atol=FLOAT64)
    K = base_matrix(kernel, X)
    np.testing.assert_allclose(K, kernel_pairs.base(kernel, X, X), atol=FLOAT64)
    assert K.dtype == np.float64 and np.array_equal(K, K.T) and np.array_equal(X, before)
    if kernel in WITH_GAMMA:
        assert (np.diagonal(K) == 0).all() and (K >= 0).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_torch_gives_the_same(kernel, monkeypatch):
    # On the CPU, in the blocks and types that a GPU would get.
    monkeypatch.setattr("vidfeat.kernels.torch_pairs._ROWS", 7)
    monkeypatch.setattr("vidfeat.kernels.torch_pairs._NUMBERS", 300)
    X, Y = codes(20, 25), codes(9, 25)
    np.testing.assert_allclose(torch_base(kernel, X, Y, "cpu"), base_matrix(kernel, X, Y), atol=FLOAT64)
    K = torch_base(kernel, X, None, "cpu")
    np.testing.assert_allclose(K, base_matrix(kernel, X), atol=FLOAT64)
    assert np.array_equal(K, K.T)
    assert torch_base(kernel, X, None, "cpu", np.float32).dtype == np.float32


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_are_positive_semidefinite_and_may_be_kept_in_float32(kernel):
    X = codes(30, 12)
    K = kernel_matrix(kernel, X)
    assert np.linalg.eigvalsh(K).min() > -FLOAT64 * np.abs(K).max()
    single = kernel_matrix(kernel, X, dtype=np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, K, rtol=FLOAT32, atol=FLOAT32)


def test_gamma_means_what_it_means_in_scikit_learn():
    X, Y = codes(20, 15, np.float64), codes(8, 15, np.float64)
    np.testing.assert_allclose(kernel_matrix("rbf", X, Y, 0.3), rbf_kernel(X, Y, 0.3), atol=FLOAT64)
    np.testing.assert_allclose(kernel_matrix("chi2", X, Y, 0.3), chi2_kernel(X, Y, 0.3), atol=FLOAT64)


@pytest.mark.parametrize("kernel", sorted(WITH_GAMMA))
def test_gamma_by_default_is_one_over_the_mean_distance(kernel):
    X = codes(12, 5)
    base = base_matrix(kernel, X)
    mean = kernel_pairs.mean_distance(kernel, X)
    assert mean_distance(base) == pytest.approx(mean, rel=FLOAT64)
    np.testing.assert_allclose(kernel_matrix(kernel, X), np.exp(-base / mean), atol=FLOAT64)
    rows = np.array([1, 4, 5, 9])
    assert mean_distance(base, rows) == pytest.approx(kernel_pairs.mean_distance(kernel, X[rows]), rel=FLOAT64)
    kept = base.copy()
    from_base(kernel, base, 2.0)
    assert np.array_equal(base, kept)  # the cached matrix serves the next γ


def test_a_common_part_of_all_codes_does_not_drown_distances():
    X = RANDOM.normal(size=(10, 6))
    far = X + 1e6
    near, away = base_matrix("rbf", X), base_matrix("rbf", far)
    np.testing.assert_allclose(away, near, rtol=1e-8)  # 1e6 is read with 1e-10 of rounding; the rest is subtraction


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda X: base_matrix("sigmoid", X), "kernel='sigmoid' is unknown. Allowed: linear, rbf, chi2"),
        (lambda X: base_matrix("rbf", X, X[:, :3]), "have 5 and 3 dimensions"),
        (lambda X: base_matrix("rbf", X[0]), r"codes are a matrix \[items, dimensions\]"),
        (lambda X: kernel_matrix("chi2", X, X), "between two sets of codes needs gamma"),
        (lambda X: kernel_matrix("rbf", X, X, -1.0), "gamma=-1.0 is not allowed: it must be a finite number > 0"),
        (lambda X: kernel_matrix("rbf", X, X, np.nan), "gamma=nan is not allowed"),
        (lambda X: kernel_matrix("rbf", X[[0, 0, 0]]), "All 3 training items have the same code.*distances are 0"),
    ],
)
def test_refused_input_is_named(call, words):
    with pytest.raises(UsageError, match=words):
        call(codes(4, 5))


@pytest.mark.parametrize("kernel", sorted(NON_NEGATIVE))
def test_negative_numbers_are_refused_where_they_have_no_meaning(kernel):
    X = codes(4, 5)
    X[2, 3] = -0.5
    words = f"Negative values in data passed to kernel '{kernel}': item 2 has -0.5 in dimension 3"
    for arguments in ((X,), (codes(3, 5), X)):
        with pytest.raises(UsageError, match=words):
            base_matrix(kernel, *arguments)
    assert set(KERNELS) - NON_NEGATIVE == {"linear", "rbf"}
