import numpy as np
import pytest
from oracles.kernels import trapezoid
from sklearn import metrics as sk
from tolerances import FLOAT64

from vidfeat import metrics
from vidfeat.errors import UsageError

RANDOM = np.random.default_rng(0)


def test_accuracies_and_confusion_against_scikit_learn():
    true, predicted = RANDOM.integers(4, size=60), RANDOM.integers(5, size=60)
    assert metrics.accuracy(true, predicted) == pytest.approx(sk.accuracy_score(true, predicted))
    recall = sk.recall_score(true, predicted, labels=range(4), average="macro")
    assert metrics.mean_per_class_accuracy(true, predicted) == pytest.approx(recall)
    counts = metrics.confusion(true, predicted, 5)
    assert np.array_equal(counts, sk.confusion_matrix(true, predicted, labels=range(5)))


def test_mean_per_class_accuracy_weighs_classes_alike_and_takes_names():
    true, predicted = ["a"] * 9 + ["b"], ["a"] * 10
    assert metrics.accuracy(true, predicted) == 0.9
    assert metrics.mean_per_class_accuracy(true, predicted) == 0.5


def test_both_kinds_of_average_precision_on_ranks_1_3_6():
    relevant = np.array([1, 0, 1, 0, 0, 1, 0])
    assert metrics.average_precision(relevant, -np.arange(7)) == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)
    assert round(metrics.average_precision(relevant, -np.arange(7)), 3) == 0.722
    assert round(metrics.trapezoid_average_precision(relevant), 3) == 0.678


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_scikit_learns(ties):
    for _ in range(30):
        relevant = RANDOM.integers(2, size=25)
        relevant[0] = 1
        scores = RANDOM.integers(5, size=25) if ties else RANDOM.normal(size=25)
        expected = sk.average_precision_score(relevant, scores)
        assert metrics.average_precision(relevant, scores) == pytest.approx(expected, rel=FLOAT64)


def test_infinite_scores_are_ranks_too():
    assert metrics.average_precision([1, 0, 1], [np.inf, 0.0, -np.inf]) == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.average_precision([1, 0], [-np.inf, -np.inf]) == 0.5


def test_trapezoid_against_a_walk_down_the_list():
    for _ in range(30):
        relevant = RANDOM.integers(2, size=20)
        relevant[-1] = 1
        assert metrics.trapezoid_average_precision(relevant) == pytest.approx(trapezoid(relevant), rel=FLOAT64)


def test_mean_average_precision_leaves_out_classes_without_positives():
    relevant = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 1]])
    scores = RANDOM.normal(size=(3, 3))
    each = metrics.average_precisions(relevant, scores)
    assert np.isnan(each[1]) and each[0] == metrics.average_precision(relevant[:, 0], scores[:, 0])
    assert metrics.mean_average_precision(relevant, scores) == pytest.approx((each[0] + each[2]) / 2)
    assert np.isnan(metrics.mean_average_precision(np.zeros((3, 2)), np.ones((3, 2))))
    assert np.isnan(metrics.trapezoid_average_precision([0, 0]))


def test_hit_at_k_takes_any_true_label():
    true = np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    scores = np.array([[0.1, 0.9, 0.3, 0.2], [0.5, 0.5, 0.9, 0.0], [1.0, 0, 0, 0]])
    assert [metrics.hit_at_k(true, scores, k) for k in (1, 2, 3, 9)] == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3])
    scores, single = RANDOM.normal(size=(50, 4)), RANDOM.integers(4, size=50)
    expected = sk.top_k_accuracy_score(single, scores, k=2, labels=range(4))
    assert metrics.hit_at_k(np.eye(4)[single], scores, 2) == pytest.approx(expected)


def test_group_bootstrap():
    groups = np.repeat(np.arange(10), 20)
    values = np.repeat(np.arange(10) % 2, 20).astype(float)  # all items of a group are equal
    low, high = metrics.group_bootstrap(np.mean, groups, values)
    alone = metrics.group_bootstrap(np.mean, np.arange(200), values)
    assert low <= 0.5 <= high
    # The mean of 10 independent coin tosses spreads √20 times as far as that of 200.
    assert (high - low) / (alone[1] - alone[0]) == pytest.approx(np.sqrt(20), rel=0.15)
    assert metrics.group_bootstrap(np.mean, groups, values) == (low, high)
    assert metrics.group_bootstrap(np.mean, groups, values, seed=1, n_resamples=20) != (low, high)
    assert metrics.group_bootstrap(np.mean, ["a", "a"], [1.0, 3.0]) == (2, 2)
    assert np.isnan(metrics.group_bootstrap(lambda x: np.nan, groups, values, n_resamples=3)).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.accuracy([1], [1, 2]), r"shapes \(1,\) and \(2,\); allowed are two arrays of the same length"),
        (lambda: metrics.accuracy([], []), "at least 1"),
        (lambda: metrics.confusion([0, 3], [0, 1], 3), r"true labels must be integers in 0…2"),
        (lambda: metrics.confusion([0, 1], [0.0, 1.0], 3), r"predicted labels must be integers"),
        (lambda: metrics.average_precision([1, 0], [0.5, np.nan]), "1 of 2 scores are NaN"),
        (lambda: metrics.average_precision([1, 2], [0.5, 0.1]), "other than 0 and 1"),
        (lambda: metrics.average_precision([1], [0.5, 0.1]), r"shapes \(1,\) and \(2,\)"),
        (lambda: metrics.hit_at_k([[1]], [[0.5]], 0), "Hit@0"),
        (lambda: metrics.group_bootstrap(np.mean, [1, 2], [1.0]), r"2 groups came with arrays of lengths \[1\]"),
        (lambda: metrics.group_bootstrap(np.mean, [1], [1.0], confidence=1.0), r"confidence=1\.0 must lie between"),
    ],
)
def test_refused_input_is_named(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_per_class_against_scikit_learn():
    true, predicted = RANDOM.integers(4, size=60), RANDOM.integers(5, size=60)
    found = metrics.per_class(true, predicted, 6)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        true, predicted, labels=range(6), zero_division=np.nan
    )  # fmt: skip
    np.testing.assert_allclose(found[0], recall)
    np.testing.assert_allclose(found[1], precision)
    np.testing.assert_allclose(found[2], f1)
    assert np.isnan(found[0][4:]).all() and np.isnan(found[1][5])
