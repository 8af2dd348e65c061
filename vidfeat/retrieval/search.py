"""The nearest rows of a database, exactly, in memory that does not depend on its size.

Every block of the database goes through one product of matrices in float32; what may be among the best is then judged
by exact distances (see :mod:`vidfeat.retrieval.distances`), so that the answer is that of comparing all pairs in
float64. Equal distances rank by index.
"""

from collections.abc import Sequence

import numpy as np
import torch

from vidfeat.errors import UsageError
from vidfeat.precision import check_device
from vidfeat.retrieval.distances import (
    BLOCK_BYTES,
    CELLS,
    approximate,
    check_rows,
    exact_distances,
    in_words,
    prepare,
)
from vidfeat.retrieval.rows import Rows

_QUERIES_AT_ONCE = 4096


def search(
    queries: Rows,
    database: Rows,
    metric: str = "l2",
    top: int | None = 100,
    *,
    ignored: Sequence[np.ndarray] | None = None,
    block_rows: int | None = None,
    device: str = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """The ``top`` nearest rows of the database for every query, nearest first.

    Args:
        queries: ``[q, D]`` float32, an array or anything that is read by slices.
        database: ``[N, D]``, likewise.
        metric: ``l2`` gives ‖a − b‖, ``cosine`` gives 1 − cos(a, b) (1 where a code is zero).
        top: None ranks the whole database.
        ignored: for each query, rows of the database that are not to be found.
        block_rows: rows of the database in one block; the answer does not depend on it.
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Returns:
        Indices ``[q, top]`` int64 and distances ``[q, top]`` float32; ``top`` is N at most. Where fewer are left for a
        query, its row ends in −1 and infinity.
    """
    check_rows(queries, database, metric)
    for name, value in (("top", top), ("block_rows", block_rows)):
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}; it must be 1 or more, or None.")
    place = check_device(device)
    (count, dimension), size = queries.shape, database.shape[0]
    if ignored is not None and len(ignored) != count:
        raise UsageError(f"ignored has {len(ignored)} entries for {count} queries; it must have one for each.")
    top = size if top is None else min(top, size)
    at_once = max(1, min(_QUERIES_AT_ONCE, 4 * BLOCK_BYTES // (8 * max(1, dimension))))
    indices = np.full((count, top), -1, np.int64)
    distances = np.full((count, top), np.inf, np.float32)
    for first in range(0, count if top else 0, at_once):
        own = slice(first, min(first + at_once, count))
        best = _Best(queries[own], metric, top, place)
        dropped = _Dropped(ignored[own] if ignored is not None else [])
        rows = block_rows or block_size(own.stop - first, dimension)
        for start in range(0, size, rows):
            stop = min(start + rows, size)
            best.add(start, database[start:stop], dropped.within(start, stop))
        best.write(indices[own], distances[own])
    return indices, distances


def block_size(queries: int, dimension: int) -> int:
    """Rows of a block of the database that goes well with this many queries."""
    return max(1, min(BLOCK_BYTES // (8 * max(1, dimension)), CELLS // max(1, queries)))


class _Dropped:
    """Pairs of query and database row that do not count, by database row."""

    def __init__(self, ignored: Sequence[np.ndarray]) -> None:
        rows = np.concatenate([np.empty(0, np.int64), *ignored])
        query = np.repeat(np.arange(len(ignored)), [len(own) for own in ignored])
        order = np.argsort(rows, kind="stable")
        self._rows, self._query = rows[order], query[order]

    def within(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """(query, row − start) of those in [start, stop)."""
        low, high = np.searchsorted(self._rows, (start, stop))
        return self._query[low:high], self._rows[low:high] - start


class _Best:
    """The nearest rows so far of each query, as a list of (query, exact distance, row) in that order."""

    def __init__(self, queries: np.ndarray, metric: str, top: int, device: torch.device) -> None:
        self._rows, self._metric, self._top, self._device = queries, metric, top, device
        self._vectors = prepare(queries, metric, device, torch.float32)
        self._query, self._index = np.empty(0, np.int64), np.empty(0, np.int64)
        self._distance = np.empty(0)
        self._worst = np.full(len(queries), np.inf)  # distance that a row must not exceed to get in

    @torch.inference_mode()
    def add(self, start: int, rows: np.ndarray, dropped: tuple[np.ndarray, np.ndarray]) -> None:
        """Take the block of rows that begins at ``start``, later than all before, without the ``dropped`` pairs."""
        block = prepare(rows, self._metric, self._device, torch.float32)
        near, margin = approximate(self._vectors, block)
        overflown = ~near.isfinite()
        lower = torch.where(overflown, -torch.inf, near - margin)
        upper = torch.where(overflown, torch.inf, near + margin)
        pairs = tuple(torch.from_numpy(part).to(self._device) for part in dropped)
        lower[pairs], upper[pairs] = torch.nan, torch.inf
        limit = torch.from_numpy(self._worst).to(self._device)
        if len(rows) > self._top and np.isinf(self._worst).any():
            limit = torch.minimum(limit, upper.kthvalue(self._top, dim=1).values)
        query, place = (part.cpu().numpy() for part in (lower <= limit[:, None]).nonzero(as_tuple=True))
        exact = exact_distances(self._rows, query, rows, place, self._metric)
        self._merge(query, exact, place + start)

    def _merge(self, query: np.ndarray, distance: np.ndarray, index: np.ndarray) -> None:
        query = np.concatenate([self._query, query])
        distance = np.concatenate([self._distance, distance])
        index = np.concatenate([self._index, index])
        order = np.lexsort((index, distance, query))
        order = order[_positions(query[order]) < self._top]
        self._query, self._distance, self._index = query[order], distance[order], index[order]
        full = _positions(self._query) == self._top - 1
        self._worst[self._query[full]] = self._distance[full]

    def write(self, indices: np.ndarray, distances: np.ndarray) -> None:
        """Fill ``[q, top]`` arrays."""
        column = _positions(self._query)
        indices[self._query, column] = self._index
        distances[self._query, column] = in_words(self._distance, self._metric)


def _positions(groups: np.ndarray) -> np.ndarray:
    """0, 1, 2, … within each run of equal numbers of a sorted array."""
    return np.arange(len(groups)) - np.searchsorted(groups, groups)
