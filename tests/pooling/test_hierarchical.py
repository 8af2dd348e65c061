import numpy as np
import pytest
import torch
from oracles import rank as oracle
from tolerances import FLOAT64

from vidfeat.errors import UsageError
from vidfeat.pooling import hierarchical_rank_pool, rank_pool
from vidfeat.pooling.hierarchical import sliding_windows


def slow(x, window, stride, depth, C, map):
    """Level by level, window by window."""
    for _ in range(depth - 1):
        if len(x) < window:
            break
        rows, start = [], 0
        while start < len(x):
            rows.append(pooled(x[start : start + window], C))
            if start + window >= len(x):
                break
            start += stride
        x = np.array([mapped(row, map) for row in rows])
    return pooled(x, C)


def pooled(x, C):
    return rank_pool(torch.from_numpy(oracle.prepared(x)), C).numpy()


def mapped(row, map):
    if map == "ssr":
        row = np.sign(row) * np.sqrt(np.abs(row))
    if map == "posneg":
        row = np.concatenate([np.sqrt(np.maximum(row, 0)), np.sqrt(np.maximum(-row, 0))])
    return row / np.linalg.norm(row)


@pytest.mark.parametrize("map", ["none", "ssr", "posneg"])
@pytest.mark.parametrize(
    ("T", "window", "stride", "depth"),
    [(40, 8, 1, 2), (41, 8, 3, 3), (40, 20, 7, 2), (5, 8, 1, 2), (30, 10, 10, 4), (1, 2, 1, 2)],
)
def test_levels_from_their_definition(T, window, stride, depth, map):
    x = np.random.default_rng(0).normal(size=(T, 15)).cumsum(axis=0)
    ours = hierarchical_rank_pool(torch.from_numpy(x), window, stride, depth, C=3.0, map=map)
    expected = slow(x, window, stride, depth, 3.0, map)
    np.testing.assert_allclose(ours, expected, atol=1e3 * FLOAT64 * np.abs(expected).max())


def test_one_level_is_plain_rank_pooling():
    x = torch.randn(30, 9, dtype=torch.float64)
    expected = pooled(x.numpy(), 2.0)
    np.testing.assert_allclose(hierarchical_rank_pool(x, depth=1), expected, atol=FLOAT64 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("T", "window", "stride", "expected"),
    [
        (5, 2, 1, [(0, 2), (1, 3), (2, 4), (3, 5)]),
        (5, 2, 2, [(0, 2), (2, 4), (4, 5)]),
        (6, 2, 2, [(0, 2), (2, 4), (4, 6)]),
        (7, 3, 3, [(0, 3), (3, 6), (6, 7)]),
        (9, 3, 5, [(0, 3), (5, 8)]),
        (3, 3, 9, [(0, 3)]),
    ],
)
def test_windows(T, window, stride, expected):
    assert sliding_windows(T, window, stride) == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 1}, "window=1 is not allowed: it must be an integer of 2 or more"),
        ({"stride": 0}, "stride=0 is not allowed: it must be an integer of 1 or more"),
        ({"depth": 1.5}, "depth=1.5 is not allowed"),
    ],
)
def test_wrong_hierarchies(options, words):
    with pytest.raises(UsageError, match=words):
        hierarchical_rank_pool(torch.ones(4, 3), **options)
