"""Late fusion: normalised scores, weights, and that no item has a part in the choice of its own weights."""

import itertools

import numpy as np
import pytest
from judged_runs import make_scores
from tolerances import FLOAT64

from vidfeat import metrics
from vidfeat.classify import fusion
from vidfeat.errors import UsageError

RANDOM = np.random.default_rng(0)


def test_normalisations_by_hand():
    scores = [[2.0, -1.0, 1.0], [0.0, 0.0, 0.0]]
    np.testing.assert_allclose(fusion.normalise_scores(scores), [[0.5, -0.25, 0.25], [0, 0, 0]])
    np.testing.assert_allclose(fusion.normalise_scores(scores, "shift"), [[0.6, 0, 0.4], [1 / 3] * 3])
    powers = np.exp([2, -1, 1])
    np.testing.assert_allclose(fusion.normalise_scores(scores, "softmax"), [powers / powers.sum(), [1 / 3] * 3])
    np.testing.assert_array_equal(fusion.normalise_scores(scores, "none"), scores)


@pytest.mark.parametrize("how", fusion.NORMALISATIONS)
def test_normalising_keeps_the_order_of_classes_and_the_input(how):
    scores = 5 * RANDOM.normal(size=(50, 7))
    before = scores.copy()
    found = fusion.normalise_scores(scores, how)
    np.testing.assert_array_equal(found.argsort(axis=1), scores.argsort(axis=1))
    np.testing.assert_array_equal(scores, before)
    if how != "none":
        np.testing.assert_allclose(np.abs(found).sum(axis=1), 1)
    if how in ("shift", "softmax"):
        assert found.min() >= 0
    if how in ("l1", "shift"):
        np.testing.assert_allclose(fusion.normalise_scores(3 * scores, how), found)


@pytest.mark.parametrize(
    ("how", "expected"),
    [("l1", [0.5, -0.5, -np.inf]), ("shift", [1, 0, -np.inf]), ("none", [2, -2, -np.inf])],
)
def test_a_class_without_a_model_stays_at_minus_infinity(how, expected):
    np.testing.assert_allclose(fusion.normalise_scores([[2.0, -2.0, -np.inf]], how)[0], expected)
    fused = fusion.fuse_scores([[[2.0, -2.0, -np.inf]], [[1.0, 2.0, 3.0]]], [1, 0], how)
    np.testing.assert_allclose(fused[0], expected)


def test_softmax_of_a_class_without_a_model_is_0():
    found = fusion.normalise_scores([[2.0, -2.0, -np.inf]], "softmax")[0]
    assert found[2] == 0 and found.sum() == pytest.approx(1)


def test_fused_scores_are_the_weighted_mean():
    a, b = RANDOM.normal(size=(9, 4)), 100 * RANDOM.normal(size=(9, 4))
    expected = [
        [(x / sum(map(abs, row)) + 1.5 * y / sum(map(abs, other))) / 2.5 for x, y in zip(row, other, strict=True)]
        for row, other in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(fusion.fuse_scores([a, b], [1, 1.5]), expected, rtol=FLOAT64)
    np.testing.assert_allclose(fusion.fuse_scores([a, b], [2, 3]), expected, rtol=FLOAT64)
    np.testing.assert_allclose(fusion.fuse_scores([a, b], [0, 7]), fusion.normalise_scores(b), rtol=FLOAT64)


@pytest.mark.parametrize("n_runs", [2, 3, 4])
def test_the_grid_has_every_weighting_once_the_most_even_first(n_runs):
    steps = fusion.STEPS[n_runs]
    whole = {p for p in itertools.product(range(steps + 1), repeat=n_runs) if sum(p) == steps}
    grid = fusion.weight_grid(n_runs)
    assert len(grid) == len(whole)
    assert {tuple(row) for row in np.rint(grid * steps).astype(int).tolist()} == whole
    spread = grid.std(axis=1)
    assert (np.diff(spread) >= -1e-12).all()
    np.testing.assert_allclose(grid.sum(axis=1), 1)


@pytest.mark.parametrize("several", [False, True])
def test_weights_are_the_best_of_the_grid_and_those_of_a_group_the_best_on_all_others(several):
    truth = RANDOM.integers(3, size=60)
    true = np.eye(3, dtype=bool)[truth]
    if several:
        true[::5] |= np.eye(3, dtype=bool)[(truth[::5] + 1) % 3]
    runs = [make_scores(truth, noise, seed) for noise, seed in ((0.5, 1), (0.8, 2))]
    groups = [f"g{number}" for number in RANDOM.integers(6, size=60)]
    told = []
    chosen = fusion.choose_weights(runs, true, groups, told=told.append)
    assert chosen.measure == ("map" if several else "accuracy")
    assert sum(told) == 21

    def best(rows):
        def judge(weights):
            fused = fusion.fuse_scores(runs, weights)[rows]
            if several:
                return metrics.mean_average_precision(true[rows], fused)
            return metrics.accuracy(truth[rows], fused.argmax(axis=1))

        return max(fusion.weight_grid(2), key=judge), max(map(judge, fusion.weight_grid(2)))

    everyone = np.ones(60, dtype=bool)
    weights, score = best(everyone)
    np.testing.assert_array_equal(chosen.weights, weights)
    assert chosen.score == pytest.approx(score, rel=FLOAT64)
    assert chosen.groups == tuple(sorted(set(groups)))
    for name, own in zip(chosen.groups, chosen.group_weights, strict=True):
        np.testing.assert_array_equal(own, best(np.array(groups) != name)[0])
    assert len({tuple(row) for row in chosen.group_weights.tolist()}) > 1  # else the test would say little
    alone = fusion.choose_weights(runs, true)
    np.testing.assert_array_equal(alone.weights, weights)
    assert (alone.groups, len(alone.group_weights)) == ((), 0)


def test_equally_good_weights_are_as_even_as_can_be():
    scores = make_scores(np.arange(12) % 3, 0.01, 1)
    true = np.eye(3, dtype=bool)[np.arange(12) % 3]
    chosen = fusion.choose_weights([scores, scores, scores], true)
    assert chosen.score == 1
    assert sorted(chosen.weights.tolist()) == [0.3, 0.3, 0.4]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fusion.normalise_scores([[1.0, np.nan, 2]]), "1 of 1 items have scores that are NaN or infinite"),
        (lambda: fusion.normalise_scores([[1.0, np.inf, 2]]), "1 of 1 items have scores that are NaN or infinite"),
        (lambda: fusion.normalise_scores([[1.0, 2, 3]], "l2"), "no normalisation 'l2'; allowed are l1, shift, softmax"),
        (lambda: fusion.normalise_scores([1.0, 2]), r"shape \(2,\); fusion needs \[items, classes\]"),
        (lambda: fusion.normalise_scores([[1.0, -1], [-3, 3]]), "two classes the normalisation 'l1' leaves nothing"),
        (lambda: fusion.normalise_scores([[1.0, 4]], "shift"), "Use softmax"),
        (lambda: fusion.check_weights([1, 2, 3], 2), "3 weights came for 2 runs"),
        (lambda: fusion.check_weights([1, -2], 2), "The weights are 1, -2; allowed are numbers of 0 or more"),
        (lambda: fusion.check_weights([0, 0], 2), "not all of them 0"),
        (lambda: fusion.weight_grid(7), "chosen for 2 to 6 runs, not 7"),
        (
            lambda: fusion.choose_weights([np.eye(3)] * 2, np.eye(3), ["g"] * 3),
            r"All 3 items are in one group \(g\); it has no others to choose by",
        ),
    ],
)
def test_refused_input_is_named(call, words):
    with pytest.raises(UsageError, match=words):
        call()
