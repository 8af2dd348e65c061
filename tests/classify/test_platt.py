import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.calibration import _SigmoidCalibration

from vidfeat.classify.platt import Calibration, fit_sigmoid
from vidfeat.errors import UsageError


def scored(n=200, seed=0, scale=1.0):
    random = np.random.default_rng(seed)
    positive = random.random(n) < 0.3
    return scale * (positive + random.normal(size=n)), positive


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_sigmoid_is_the_minimum_of_the_cross_entropy(scale):
    f, own = scored(scale=scale)
    a, b = fit_sigmoid(f, own)
    target = np.where(own, (own.sum() + 1) / (own.sum() + 2), 1 / ((~own).sum() + 2))

    def entropy(ab):
        p = 1 / (1 + np.exp(ab[0] * f / scale + ab[1]))
        return -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum()

    best = minimize(entropy, [0.0, 0.0], tol=1e-12)
    assert a < 0
    assert (a * scale, b) == pytest.approx(best.x, abs=1e-4)  # the minimum is flat: 1e-8 of it is 1e-4 of its place
    peer = _SigmoidCalibration().fit(f, own)
    assert (a * scale, b) == pytest.approx((peer.a_ * scale, peer.b_), abs=1e-3)


def test_probabilities_are_those_that_scores_were_drawn_from():
    random = np.random.default_rng(1)
    f = random.normal(size=20000)
    own = random.random(20000) < 1 / (1 + np.exp(-2.0 * f + 0.5))
    assert fit_sigmoid(f, own) == pytest.approx((-2.0, 0.5), abs=0.1)  # three standard deviations of this sample


def test_rows_of_items_with_one_label_sum_to_one():
    random = np.random.default_rng(0)
    y = np.arange(90) % 3
    true = y[:, None] == np.arange(3)
    scores = true + random.normal(size=(90, 3))
    alone, several = (Calibration.fit(scores, true, one_label) for one_label in (True, False))
    p, q = alone.probabilities(scores), several.probabilities(scores)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert np.abs(q.sum(axis=1) - 1).max() > 0.05
    np.testing.assert_allclose(p, q / q.sum(axis=1, keepdims=True))
    assert (q > 0).all() and (q < 1).all()
    assert Calibration.from_dict(alone.as_dict()) == alone


def test_two_classes_share_a_sigmoid():
    f, own = scored()
    true = np.column_stack([~own, own])
    p = Calibration.fit(np.column_stack([-f, f]), true, True).probabilities(np.array([[-1.0, 1.0], [0.0, 0.0]]))
    a, b = fit_sigmoid(f, own)
    assert p[0, 1] == pytest.approx(1 / (1 + np.exp(a + b)))
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_classes_that_a_fold_lacked():
    f, own = scored()
    f[:20] = -np.inf
    found = Calibration.fit(np.column_stack([f, f]), np.column_stack([own, own]), False)
    assert (found.slopes[0], found.offsets[0]) == fit_sigmoid(f[20:], own[20:])
    p = found.probabilities(np.array([[-np.inf, 1.0], [np.inf, 0.0], [-np.inf, -np.inf]]))
    assert p[0, 0] == 0 and p[1, 0] == 1 and 0 < p[0, 1] < 1
    one = Calibration(found.slopes, found.offsets, True).probabilities(np.full((1, 2), -np.inf))
    assert one.tolist() == [[0.5, 0.5]]


def test_separable_and_one_sided_scores_stay_finite():
    a, b = fit_sigmoid(np.r_[np.full(5, -1.0), np.full(5, 1.0)], np.arange(10) >= 5)
    p = 1 / (1 + np.exp(a * np.array([-1.0, 1.0]) + b))
    assert p == pytest.approx([1 / 7, 6 / 7], abs=1e-4)  # Platt's targets
    a, b = fit_sigmoid(np.arange(8.0), np.zeros(8, dtype=bool))
    assert 1 / (1 + np.exp(b)) == pytest.approx(0.1, abs=1e-3)


def test_refused_input_is_named():
    with pytest.raises(UsageError, match="No held-out item has a score"):
        fit_sigmoid(np.full(3, -np.inf), np.array([True, False, True]))
    with pytest.raises(UsageError, match=r"shape \(3, 2\) came with labels of shape \(3, 3\)"):
        Calibration.fit(np.zeros((3, 2)), np.zeros((3, 3), dtype=bool), True)
