"""The width of an RBF kernel shared by all nodes."""

import itertools

import numpy as np
import pytest
from tolerances import FLOAT64

from vidfeat.errors import UsageError
from vidfeat.kernels.blocks import shared_gamma


def test_gamma_is_one_over_the_mean_squared_distance_of_different_items():
    nodes = np.random.default_rng(0).normal(3, 1, size=(6, 3, 4))
    pairs = [
        ((nodes[i, a] - nodes[j, b]) ** 2).sum()
        for i, j in itertools.permutations(range(6), 2)
        for a in range(3)
        for b in range(3)
    ]
    assert shared_gamma(nodes) == pytest.approx(1 / np.mean(pairs), rel=FLOAT64)


def test_gamma_of_one_item_or_of_equal_items_is_refused():
    with pytest.raises(UsageError, match=r"nodes of shape \(1, 3, 4\) have no pairs of items"):
        shared_gamma(np.ones((1, 3, 4)))
    with pytest.raises(UsageError, match="same code, so an RBF kernel has no width"):
        shared_gamma(np.ones((5, 3, 4)))
