"""Average precision by both rules, recall and hits, from ranks: by hand, and as the original programs walk."""

import numpy as np
import pytest
from oracles import retrieval as oracle
from tolerances import FLOAT64

from vidfeat.retrieval.evaluation import figures, judge


def test_the_worked_example():
    """Precision is 1, 2/3 and 1/2 at the positives, and 1, 1/2 and 2/5 before them."""
    judged = judge(np.array([0, 2, 5]))
    assert judged.ap == pytest.approx((1 + (1 / 2 + 2 / 3) / 2 + (2 / 5 + 1 / 2) / 2) / 3, FLOAT64)
    assert judged.ap_stepwise == pytest.approx((1 + 2 / 3 + 1 / 2) / 3, FLOAT64)
    assert (round(judged.ap, 3), round(judged.ap_stepwise, 3)) == (0.678, 0.722)
    assert (judged.positives, judged.first_rank) == (3, 1)
    assert judged.within == {1: 1, 5: 2, 10: 3, 100: 3}


def test_by_hand_with_junk_and_the_query_itself():
    """Oxford: the query q is positive and found first, j1 and j2 take no rank: q - a - - b, positives q, a, b."""
    ranked = ["q", "j1", "n1", "a", "j2", "n2", "n3", "b"]
    ap = (1 + (1 / 2 + 2 / 3) / 2 + (2 / 5 + 3 / 6) / 2) / 3
    assert oracle.oxford_ap({"q", "a", "b"}, {"j1", "j2"}, ranked) == pytest.approx(ap, FLOAT64)
    assert judge(np.array([0, 2, 5])).ap == pytest.approx(ap, FLOAT64)
    # Holidays: the same list with q out of its own ranking, positives a and b.
    ranked = ["q", "n1", "a", "n2", "n3", "b"]
    ap = ((0 + 1 / 2) / 2 + (1 / 4 + 2 / 5) / 2) / 2
    assert oracle.holidays_ap("q", {"a", "b"}, ranked) == pytest.approx(ap, FLOAT64)
    assert judge(np.array([1, 4])).ap == pytest.approx(ap, FLOAT64)


def test_positives_that_are_never_found_cost_their_share():
    """Of four positives the first and the third of the list are found."""
    judged = judge(np.array([0, 2]), missing=2)
    assert judged.ap == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 4, FLOAT64)
    assert judged.ap == pytest.approx(oracle.oxford_ap(set("abxy"), set(), "anb"), FLOAT64)
    assert judged.positives == 4
    nothing = judge(np.array([], int), missing=3)
    assert (nothing.ap, nothing.ap_stepwise, nothing.first_rank, nothing.positives) == (0.0, 0.0, None, 3)


@pytest.mark.parametrize("seed", range(5))
def test_random_rankings_as_the_original_programs(seed):
    random = np.random.default_rng(seed)
    ranked = list(random.permutation(60))
    parts = random.permutation(70)  # those from 60 on are missing
    positives, junk = set(parts[:15].tolist()), set(parts[15:25].tolist())
    kept = [name for name in ranked if name not in junk]
    ranks = np.array([rank for rank, name in enumerate(kept) if name in positives])
    judged = judge(ranks, missing=15 - len(ranks))
    assert judged.ap == pytest.approx(oracle.oxford_ap(positives, junk, ranked), FLOAT64)
    assert judged.ap_stepwise == pytest.approx(oracle.stepwise_ap(positives, junk, ranked), FLOAT64)
    assert judged.ap == pytest.approx(oracle.holidays_ap(None, positives, kept), FLOAT64)


def test_figures_are_means_over_queries():
    found = figures([judge(np.array([0, 1])), judge(np.array([7])), judge(np.array([200, 201]), missing=2)])
    assert found["recall"] == pytest.approx({"1": 0.5 / 3, "5": 1 / 3, "10": 2 / 3, "100": 2 / 3})
    assert found["hit"] == pytest.approx({"1": 1 / 3, "5": 1 / 3, "10": 2 / 3, "100": 2 / 3})
    assert found["map_stepwise"] == pytest.approx((1 + 1 / 8 + (1 / 201 + 2 / 202) / 4) / 3, FLOAT64)
    assert found["map"] == pytest.approx((1 + 1 / 16 + (1 / 402 + (1 / 201 + 2 / 202) / 2) / 4) / 3, FLOAT64)
