import numpy as np
import pytest
from tolerances import FLOAT64

from vidfeat import metrics
from vidfeat.errors import UsageError

RANDOM = np.random.default_rng(2)


@pytest.mark.parametrize("ties", [False, True])
def test_weighted_average_precision_is_that_of_repeated_items(ties):
    relevant = RANDOM.integers(2, size=40)
    scores = RANDOM.integers(6, size=40) if ties else RANDOM.normal(size=40)
    scores = np.where(np.arange(40) == 3, -np.inf, scores)
    weights = RANDOM.integers(4, size=(25, 40))
    expected = [metrics.average_precision(relevant.repeat(w), scores.repeat(w)) for w in weights]
    assert len(set(expected)) > 20
    found = metrics.weighted_average_precision(relevant, scores, weights)
    np.testing.assert_allclose(found, expected, rtol=FLOAT64)


def test_weights_of_groups_are_those_of_their_items():
    relevant, scores = RANDOM.integers(2, size=30), RANDOM.integers(8, size=30)
    truth, right = RANDOM.integers(4, size=30), RANDOM.integers(2, size=30)
    groups, weights = RANDOM.integers(5, size=30), RANDOM.random((7, 5))
    of_items = weights[:, groups]
    np.testing.assert_allclose(
        metrics.weighted_average_precision(relevant, scores, weights, groups),
        metrics.weighted_average_precision(relevant, scores, of_items),
        rtol=FLOAT64,
    )
    np.testing.assert_allclose(
        metrics.weighted_recalls(truth, right, 4, weights, groups),
        metrics.weighted_recalls(truth, right, 4, of_items),
        rtol=FLOAT64,
    )


def test_weighted_recalls_are_those_of_repeated_items():
    truth, predicted = RANDOM.integers(3, size=50), RANDOM.integers(3, size=50)
    weights = RANDOM.integers(3, size=(20, 50))
    found = metrics.weighted_recalls(truth, truth == predicted, 4, weights)
    for row, w in zip(found, weights, strict=True):
        recall, _, _ = metrics.per_class(truth.repeat(w), predicted.repeat(w), 4)
        np.testing.assert_allclose(row, recall, rtol=FLOAT64)
    assert np.isnan(found[:, 3]).all()


def test_what_has_no_weight_has_no_measure():
    weights = [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    found = metrics.weighted_average_precision([1, 0, 0], [0.1, 0.2, 0.3], weights)
    assert found[0] == 0.5 and np.isnan(found[1:]).all()
    assert np.isnan(metrics.weighted_average_precision([0, 0, 0], [0.1, 0.2, 0.3], weights)).all()
    np.testing.assert_array_equal(
        metrics.weighted_recalls([0, 1, 1], [1, 0, 1], 2, weights), [[1, 0], [np.nan, 1], [np.nan, np.nan]]
    )


@pytest.mark.parametrize(("weights", "groups"), [([1, 1], None), ([[1, 1, 1]], None), ([[1, 1]], [0, 2]), ([[1]], [0])])
def test_weights_of_another_number_are_refused(weights, groups):
    with pytest.raises(UsageError, match="came with 2 items; allowed is a column for each group"):
        metrics.weighted_average_precision([1, 0], [0.5, 0.1], weights, groups)
