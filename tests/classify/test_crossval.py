import numpy as np
import pytest
from sklearn.model_selection import LeaveOneGroupOut
from tolerances import FLOAT64

from vidfeat import metrics
from vidfeat.classify import C_GRID, LibSVC, choose_C, group_folds
from vidfeat.errors import UsageError
from vidfeat.kernels import linear_gram

GRID = (0.001, 0.1, 10.0)


def data(classes=3, groups=4, n=48, seed=0, noise=1.5):
    random = np.random.default_rng(seed)
    y, group = np.arange(n) % classes, np.arange(n) // (n // groups)
    X = (
        random.normal(size=(classes, 10))[y]
        + noise * random.normal(size=(n, 10))
        + random.normal(size=(groups, 10))[group]
    )
    return X, y, group


def plain(X, y, folds, C):
    """Held-out scores by an estimator that is fitted anew on every fold's codes."""
    classes = y.shape[1] if y.ndim == 2 else len(np.unique(y))
    scores = np.empty((len(X), classes))
    for train, test in folds:
        scores[test] = LibSVC(C=C).fit(X[train], y[train]).class_scores(X[test])
    return scores


@pytest.mark.parametrize("classes", [2, 3])
def test_accuracy_is_that_of_plain_leave_one_group_out(classes):
    X, y, groups = data(classes)
    result = choose_C(linear_gram(X), y, groups, grid=GRID)
    folds = list(LeaveOneGroupOut().split(X, y, groups))
    expected = [metrics.accuracy(y, plain(X, y, folds, C).argmax(axis=1)) for C in GRID]
    assert result.scores == pytest.approx(expected)
    assert GRID.index(result.C) == np.argmax(expected) and len(set(expected)) > 1
    assert (result.measure, result.n_folds, result.grid) == ("accuracy", 4, GRID)


def test_multi_label_is_measured_by_mean_average_precision():
    X, y, groups = data()
    Y = np.column_stack([y == 0, y != 1, y == 2])
    result = choose_C(linear_gram(X), Y, groups, grid=GRID, n_jobs=1)
    folds = list(LeaveOneGroupOut().split(X, y, groups))
    expected = [metrics.mean_average_precision(Y, plain(X, Y, folds, C)) for C in GRID]
    assert result.measure == "map"
    assert result.scores == pytest.approx(expected, abs=FLOAT64)


def test_a_tie_takes_the_smallest_value():
    X, y, _ = data(noise=0.01)
    X -= X.mean(axis=0)
    result = choose_C(linear_gram(X), y, np.arange(48) % 6, grid=(100.0, 1.0, 10.0))
    assert result.scores == (1, 1, 1) and result.C == 1.0
    assert C_GRID[0] == 2**-5 and C_GRID[-1] == 2**15


def test_skipping_values_beyond_the_hard_margin_changes_nothing():
    X, y, groups = data(noise=0.3)  # separable: beyond some C no item is at its bound
    K, grid = linear_gram(X), (1e-3, 10.0, 1e3, 1e5)
    expected = tuple(choose_C(K, y, groups, grid=(C,)).scores[0] for C in grid)
    assert choose_C(K, y, groups, grid=grid).scores == expected


def test_a_class_that_lives_in_one_group_cannot_be_predicted_there():
    X, y, groups = data()
    y = np.where(groups == 0, 2, y % 2)
    result = choose_C(linear_gram(X), y, groups, grid=(1.0,))
    assert 0 < result.scores[0] <= 0.75


def test_folds_keep_groups_together_and_balance():
    random = np.random.default_rng(0)
    groups = random.integers(25, size=600)
    y = random.integers(3, size=600)
    folds = group_folds(groups, 5, y[:, None] == np.arange(3))
    assert set(folds) == set(range(5))
    assert all(len(set(folds[groups == g])) == 1 for g in set(groups))
    assert np.bincount(folds).max() - np.bincount(folds).min() < 40  # a group has 24 items
    for c in range(3):
        assert np.bincount(folds[y == c]).min() > 0.6 * (y == c).sum() / 5
    again = group_folds([f"group {g:02}" for g in groups], 5, y[:, None] == np.arange(3))
    assert np.array_equal(folds, again)


def test_classes_are_spread_over_folds():
    # Ten groups of one class each, five per class: every fold can hold one of each, and has to.
    groups, y = np.arange(10), np.arange(10) % 2
    folds = group_folds(groups, 5, y[:, None] == np.arange(2))
    assert all(sorted(y[folds == fold]) == [0, 1] for fold in range(5))


def test_few_groups_are_left_out_one_by_one():
    assert group_folds(["b", "a", "b", "c"]).tolist() == [1, 0, 1, 2]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: group_folds(["cam1"] * 4), r"in one group \('cam1'\).*Give it with --C"),
        (lambda: group_folds([1, 2], 1), "n_folds=1 is not allowed"),
        (lambda: choose_C(np.eye(4), [0, 1, 0, 1], ["g"] * 4), "Give it with --C"),
        (lambda: choose_C(np.eye(4), [0, 1, 0], [1, 2, 3]), "3 labels came with 4 items"),
        (lambda: choose_C(np.eye(4), [0, 1, 0, 1], [1, 2, 3]), "came with 3 groups"),
        (lambda: choose_C(np.eye(4), [1, 1, 1, 1], [1, 2, 3, 4]), "one class"),
    ],
)
def test_refused_input_is_named(call, words):
    with pytest.raises(UsageError, match=words):
        call()
