"""Paired intervals and the swap test against the plain measures on items that are really repeated and swapped."""

import itertools

import numpy as np
import pytest
from tolerances import FLOAT64

from vidfeat import metrics
from vidfeat.errors import UsageError
from vidfeat.metrics import Outcome
from vidfeat.metrics.paired import MEASURES

N, CLASSES = 36, 3
RANDOM = np.random.default_rng(5)
TRUTH = RANDOM.permutation(N) % CLASSES
TRUTH[0] = CLASSES  # a class that no classifier knows


def outcome(noise, seed, truth=TRUTH):
    random = np.random.default_rng(seed)
    relevant = truth[:, None] == np.arange(CLASSES)
    scores = np.round(relevant + noise * random.normal(size=relevant.shape), 1)
    return Outcome(truth, scores.argmax(axis=1) == truth, relevant, scores)


def plain(one, rows=slice(None)):
    """The measures by the functions for one classifier."""
    truth, right, relevant, scores = (getattr(one, name)[rows] for name in Outcome.__dataclass_fields__)
    predicted = np.where(right, truth, -1)
    return {
        "accuracy": metrics.accuracy(truth, predicted),
        "mean_per_class_accuracy": metrics.mean_per_class_accuracy(truth, predicted),
        "map": metrics.mean_average_precision(relevant, scores),
    }


A, B = outcome(1.2, 1), outcome(0.5, 2)
GROUPS = RANDOM.integers(8, size=N)


def test_differences_are_those_of_the_plain_measures():
    found, first, second = metrics.paired_differences([(A, B)]), plain(A), plain(B)
    assert abs(found["accuracy"]) > 0.05
    for name in MEASURES:
        assert found[name] == pytest.approx(second[name] - first[name], abs=FLOAT64)
    recalls = [np.array([o.right[c == TRUTH].mean() for c in range(CLASSES)]) for o in (A, B)]
    np.testing.assert_allclose(found["recalls"], recalls[1] - recalls[0], atol=FLOAT64)
    aps = [metrics.average_precisions(o.relevant, o.scores) for o in (A, B)]
    np.testing.assert_allclose(found["aps"], aps[1] - aps[0], atol=FLOAT64)


@pytest.mark.parametrize("name", MEASURES)
def test_intervals_are_those_of_group_bootstrap(name):
    rows = np.arange(N)
    found = metrics.paired_bootstrap([(A, B)], [GROUPS], 300, seed=3)[name]
    expected = metrics.group_bootstrap(
        lambda own: plain(B, own)[name] - plain(A, own)[name], GROUPS, rows, n_resamples=300, seed=3
    )
    np.testing.assert_allclose(found, expected, atol=FLOAT64)
    alone = metrics.bootstrap_figures(B, GROUPS, 300, seed=3)[name]
    expected = metrics.group_bootstrap(lambda own: plain(B, own)[name], GROUPS, rows, n_resamples=300, seed=3)
    np.testing.assert_allclose(alone, expected, atol=FLOAT64)


def swapped(first, second, groups, chosen):
    """The two classifiers after trading places in the groups that were chosen."""
    other = np.isin(groups, chosen)
    return tuple(
        Outcome(*(
            np.where(other if getattr(x, f).ndim == 1 else other[:, None], getattr(y, f), getattr(x, f))
            for f in Outcome.__dataclass_fields__
        ))
        for x, y in ((first, second), (second, first))
    )  # fmt: skip


def mean_ranks(one):
    places = [[(np.sum(column < v) + np.sum(column <= v) + 1) / 2 for v in column] for column in one.scores.T]
    return Outcome(one.truth, one.right, one.relevant, np.array(places).T)


def test_p_counts_all_ways_to_swap_groups():
    a, b = mean_ranks(A), mean_ranks(B)
    groups = GROUPS % 5
    ways = [chosen for size in range(6) for chosen in itertools.combinations(range(5), size)]
    found = []
    for chosen in ways:
        first, second = (plain(one) for one in swapped(a, b, groups, chosen))
        found.append([second[name] - first[name] for name in MEASURES])
    found = np.array(found)
    expected = (np.abs(found) >= np.abs(found[0]) - 1e-9).mean(axis=0)
    p, exact = metrics.swap_test([(A, B)], [groups], 32)
    assert exact
    assert [p[name] for name in MEASURES] == expected.tolist()
    assert 2 / 32 <= min(expected) < max(expected) < 1
    random, exact = metrics.swap_test([(A, B)], [groups], 31, seed=1)
    assert not exact
    many, _ = metrics.swap_test([(A, B)], [np.arange(N)], 3000, seed=1)
    again, _ = metrics.swap_test([(A, B)], [np.arange(N)], 3000, seed=2)
    for name in MEASURES:
        assert (random[name] * 32).is_integer()  # of 31 draws and the pair itself
        assert many[name] == pytest.approx(again[name], abs=0.04)  # four deviations of a share of 3000


def test_a_clear_difference_has_a_small_p_and_none_has_1():
    truth = np.arange(80) % CLASSES
    bad, good = outcome(3.0, 1, truth), outcome(0.05, 2, truth)
    groups = np.arange(80) // 4
    p, _ = metrics.swap_test([(bad, good)], [groups], 999)
    assert p == dict.fromkeys(MEASURES, 1 / 1000)
    assert metrics.paired_bootstrap([(bad, good)], [groups], 200)["accuracy"][0] > 0.2
    p, _ = metrics.swap_test([(bad, bad)], [groups], 999)
    assert p == dict.fromkeys(MEASURES, 1.0)


def test_p_is_uniform_where_there_is_no_difference():
    """Under the null hypothesis p ≤ 0.25 in a quarter of the cases; groups of equal items must not make it more."""
    truth = np.repeat(np.arange(30) % CLASSES, 4)
    groups, hits = np.repeat(np.arange(10), 12), 0
    for seed in range(120):
        random = np.random.default_rng(seed)
        pair = []
        for _ in range(2):
            scores = np.repeat(random.normal(size=(30, CLASSES)), 4, axis=0)
            relevant = truth[:, None] == np.arange(CLASSES)
            pair.append(Outcome(truth, scores.argmax(axis=1) == truth, relevant, scores))
        hits += metrics.swap_test([tuple(pair)], [groups], 127, seed=seed)[0]["map"] <= 0.25
    assert abs(hits / 120 - 0.25) < 0.12  # three standard deviations


def test_several_splits_have_the_mean_of_their_differences_and_draw_shared_groups_together():
    c, d = outcome(0.8, 7), outcome(0.5, 8)
    both = metrics.paired_differences([(A, B), (c, d)])
    single = [metrics.paired_differences([pair]) for pair in ((A, B), (c, d))]
    for name, value in both.items():
        np.testing.assert_allclose(value, (single[0][name] + single[1][name]) / 2, atol=FLOAT64)
    # The same split twice is the same as once: its groups are drawn for both together.
    once = metrics.paired_bootstrap([(A, B)], [GROUPS], 200)
    twice = metrics.paired_bootstrap([(A, B)] * 2, [GROUPS] * 2, 200)
    for name, value in once.items():
        np.testing.assert_allclose(twice[name], value, atol=FLOAT64)
    each = np.arange(N)
    together = metrics.paired_bootstrap([(A, B)] * 2, [each, each], 2000)["accuracy"]
    apart = metrics.paired_bootstrap([(A, B)] * 2, [each, each + N], 2000)["accuracy"]
    assert np.ptp(apart) == pytest.approx(np.ptp(together) / np.sqrt(2), rel=0.1)  # twice as many independent groups


def test_progress_is_told():
    told = []
    metrics.paired_bootstrap([(A, B)], [GROUPS], 6000, told=told.append)
    assert sum(told) == 6000 and len(told) > 1
    told.clear()
    metrics.swap_test([(A, B)], [GROUPS], 10_000, told=told.append)
    assert sum(told) == 2 ** len(set(GROUPS))


def test_refused_input_is_named():
    with pytest.raises(UsageError, match=r"All 36 items are in one group \(x\), so nothing can be said about chance"):
        metrics.paired_bootstrap([(A, B)], [["x"] * N])
    with pytest.raises(UsageError, match=r"Splits of \[36\] items came with \[3\] groups"):
        metrics.swap_test([(A, B)], [["x", "y", "z"]])
