"""Nearest cells against a plain loop in float64, and on features made by hand."""

import numpy as np
import pytest
from tolerances import FLOAT32, FLOAT64

from vidfeat.features import cells
from vidfeat.features.cells import nearest_cells


def unit_rows(count, channels, seed):
    rows = np.random.default_rng(seed).standard_normal((count, channels)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_by_hand():
    queries = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    references = [np.array([[0.6, 0.8]], np.float32), np.array([[0, 1], [1, 0], [0, 0]], np.float32)]
    found = nearest_cells(queries, references, 2)
    assert list(zip(found.maps[0], found.cells[0], strict=True)) == [(1, 1), (0, 0)]
    assert list(zip(found.maps[1], found.cells[1], strict=True)) == [(1, 0), (0, 0)]
    # A cell without features is at distance 0 from another such, and at 1 from all the rest.
    assert (found.maps[2, 0], found.cells[2, 0]) == (1, 2)
    assert np.allclose(found.distances, [[0, 0.8**0.5], [0, 0.4**0.5], [0, 1]], atol=FLOAT32)


@pytest.mark.parametrize("sizes", [[1] * 40, [40], [7, 0, 30, 3]])
def test_all_pairs_and_any_blocks(monkeypatch, sizes):
    monkeypatch.setattr(cells, "_QUERIES", 4)
    monkeypatch.setattr(cells, "_REFERENCES", 9)
    queries, rows = unit_rows(11, 5, 0), unit_rows(40, 5, 1)
    rows[33] = rows[12]  # equal distances: the first counts
    references = np.split(rows, np.cumsum(sizes)[:-1])
    found = nearest_cells(queries, references, 6)
    firsts = np.cumsum([0, *sizes])
    for i, query in enumerate(queries):
        distances = [float(np.sqrt(((query.astype(float) - row.astype(float)) ** 2).sum())) for row in rows]
        order = sorted(range(40), key=lambda j: (distances[j], j))[:6]
        assert (firsts[found.maps[i]] + found.cells[i]).tolist() == order
        assert np.allclose(found.distances[i], [distances[j] for j in order], atol=FLOAT64)


def test_differences_below_float32_products_are_told_apart():
    query = unit_rows(1, 256, 0)
    steps = np.arange(9, 0, -1, dtype=np.float32)[:, None] * np.float32(1e-6)
    rows = np.repeat(query, 9, axis=0)
    rows[:, :1] += steps
    assert nearest_cells(query, [rows], 3).cells.tolist() == [[8, 7, 6]]


def test_it_can_be_stopped():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nearest_cells(unit_rows(2, 3, 0), [unit_rows(2, 3, 1)], 1, idle=stop)
