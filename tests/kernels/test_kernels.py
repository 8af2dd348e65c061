import numpy as np
import pytest
from oracles.kernels import centred_codes
from tolerances import FLOAT64

from vidfeat.errors import UsageError
from vidfeat.kernels import Centring, linear, linear_gram

RANDOM = np.random.default_rng(0)


def codes(n, D, dtype=np.float32):
    return (RANDOM.normal(size=(n, D)) + 5).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_gram_is_exact_in_float64(dtype, monkeypatch):
    monkeypatch.setattr(linear, "_ROWS", 7)  # so that 20 × 30 items of 25 dimensions take many blocks
    monkeypatch.setattr(linear, "_COLUMNS", 11)
    X, Y = codes(20, 25, dtype), codes(30, 25, dtype)
    plain = X.astype(np.float64) @ Y.astype(np.float64).T
    assert linear_gram(X, Y).dtype == np.float64
    np.testing.assert_allclose(linear_gram(X, Y), plain, rtol=FLOAT64)
    K = linear_gram(X)
    np.testing.assert_allclose(K, X.astype(np.float64) @ X.astype(np.float64).T, rtol=FLOAT64)
    assert np.array_equal(K, K.T)


def test_gram_reads_anything_that_slices():
    X = codes(5, 4)

    class OnDisk:
        shape = X.shape

        def __getitem__(self, where):
            return X[where]

    assert np.array_equal(linear_gram(OnDisk()), linear_gram(X))


def test_gram_refuses_other_shapes():
    with pytest.raises(UsageError, match=r"X has shape \(3,\); codes are a matrix \[items, dimensions\]"):
        linear_gram(np.ones(3))
    with pytest.raises(UsageError, match="have 4 and 5 dimensions"):
        linear_gram(np.ones((2, 4)), np.ones((2, 5)))


def test_centring_is_that_of_the_codes():
    X, Z = codes(12, 6), codes(5, 6)
    K, K_test = linear_gram(X), linear_gram(Z, X)
    before = K.copy(), K_test.copy()
    centring = Centring.fit(K)
    ours, theirs = centring.train(K), centred_codes(X, X)
    np.testing.assert_allclose(ours, theirs @ theirs.T, atol=FLOAT64)
    np.testing.assert_allclose(centring.test(K_test), centred_codes(X, Z) @ theirs.T, atol=FLOAT64)
    assert np.diagonal(ours).mean() == pytest.approx(1, rel=FLOAT64)
    np.testing.assert_allclose(ours.sum(axis=0), 0, atol=FLOAT64)
    assert np.array_equal(K, before[0]) and np.array_equal(K_test, before[1])


def test_centring_undoes_a_common_offset():
    X = codes(12, 6, np.float64)
    far = X + 1000 * RANDOM.normal(size=6)
    near, away = (Centring.fit(K).train(K) for K in (linear_gram(X), linear_gram(far)))
    np.testing.assert_allclose(near, away, atol=1e-7)  # 1000² times the float64 rounding


def test_centring_refuses():
    with pytest.raises(UsageError, match="All 3 training items have the same code"):
        Centring.fit(linear_gram(np.full((3, 4), 0.1)))
    with pytest.raises(UsageError, match=r"square matrix \[items, items\], not one of shape \(2, 3\)"):
        Centring.fit(np.ones((2, 3)))
    with pytest.raises(UsageError, match=r"shape \(2, 3\); its columns must be the 4 training items"):
        Centring.fit(np.eye(4)).test(np.ones((2, 3)))
