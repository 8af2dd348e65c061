import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kendalltau

from vidfeat.metrics import order, temporal_order_error


@pytest.mark.parametrize("T", [2, 3, 50])
def test_share_of_wrong_pairs(T):
    scores = np.random.default_rng(T).integers(0, 10, size=T)  # with ties
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in combinations(scores.tolist(), 2)]
    assert temporal_order_error(scores) == pytest.approx(np.mean(pairs))


def test_blocks_of_rows_change_nothing(monkeypatch):
    scores = np.random.default_rng(0).normal(size=300)
    whole = temporal_order_error(scores)
    assert whole == pytest.approx((1 - kendalltau(np.arange(300), scores).statistic) / 2)
    monkeypatch.setattr(order, "_PAIRS", 1000)
    assert temporal_order_error(scores) == pytest.approx(whole)


def test_ends_of_the_scale():
    assert temporal_order_error(np.arange(9)) == 0
    assert temporal_order_error(-np.arange(9)) == 1
    assert temporal_order_error(np.zeros(9)) == 0.5
    assert math.isnan(temporal_order_error([3.0]))
    assert math.isnan(temporal_order_error([]))
