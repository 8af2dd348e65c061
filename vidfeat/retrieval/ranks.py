"""At which ranks the positives of a query come, exactly, without a ranking of the database."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from vidfeat.precision import check_device
from vidfeat.retrieval.distances import (
    BLOCK_BYTES,
    CELLS,
    approximate,
    check_rows,
    error_bound,
    exact_distances,
    prepare,
)
from vidfeat.retrieval.queries import Query
from vidfeat.retrieval.rows import Rows, take
from vidfeat.retrieval.search import block_size

# Bytes of the distances of some queries to the whole database; more queries at once read the database less often.
MEMORY = 1 << 29
# Up to so many positives, counting for each is faster than sorting all distances once.
_FEW = 100


def positive_ranks(
    queries: Rows,
    database: Rows,
    tasks: Sequence[Query],
    metric: str = "l2",
    *,
    block_rows: int | None = None,
    memory: int = MEMORY,
    device: str = "cpu",
) -> Iterator[np.ndarray]:
    """For each query the ranks of its positives, ascending ``[positives]`` int64 from 0, one query after the other.

    Ignored rows take no rank; equal distances rank by index. Distances are computed in float64, and again by
    differences of entries where two are too close to tell apart: the ranks are those of exact distances.

    Args:
        queries: ``[q, D]`` float32, an array or anything that is read by slices.
        database: ``[N, D]``, likewise. It is read once for as many queries as ``memory`` (bytes) has room for.
        tasks: ``[q]``, of which ``positives`` and ``ignored`` are rows of the database, none in both.
        metric, block_rows, device: as for :func:`vidfeat.retrieval.search.search`; neither of the last two matters.
    """
    check_rows(queries, database, metric)
    place = check_device(device)
    (count, dimension), size = queries.shape, database.shape[0]
    at_once = max(1, min(memory // (8 * max(1, size)), 4 * BLOCK_BYTES // (8 * max(1, dimension))))
    for first in range(0, count, at_once):
        rows = queries[first : min(first + at_once, count)]
        block = block_rows or block_size(len(rows), dimension)
        own = (tasks[number] for number in range(first, first + len(rows)))
        yield from _ranks_of_some(rows, database, own, metric, block, place)


def _ranks_of_some(
    queries: np.ndarray, database: Rows, tasks: Iterator[Query], metric: str, block_rows: int, device: torch.device
) -> Iterator[np.ndarray]:
    """A function of its own, so that its distances are gone before the next ones are made."""
    near, margins = _distances(queries, database, metric, block_rows, device)
    for query, row, margin, task in zip(queries, near, margins, tasks, strict=True):
        yield _ranks(row, 2 * margin, task, _Exact(query, database, metric))


def _distances(
    queries: np.ndarray, database: Rows, metric: str, block_rows: int, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances ``[q, N]`` float64, and the error of each query's ``[q]``."""
    vectors = prepare(queries, metric, device, torch.float64)
    near = np.empty((len(queries), database.shape[0]))
    longest = torch.zeros((), dtype=torch.float64, device=device)
    for start in range(0, database.shape[0], block_rows):
        stop = min(start + block_rows, database.shape[0])
        block = prepare(database[start:stop], metric, device, torch.float64)
        near[:, start:stop] = approximate(vectors, block)[0].cpu().numpy()
        longest = torch.maximum(longest, block.squares.max())
    return near, error_bound(vectors.squares + longest, vectors.values).cpu().numpy()


class _Exact:
    """Exact squared distances of one query."""

    def __init__(self, query: np.ndarray, database: Rows, metric: str) -> None:
        self._query, self._database, self._metric = query[None], database, metric

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        step = max(1, CELLS // max(1, self._query.shape[1]))
        return np.concatenate([self._of(rows[first : first + step]) for first in range(0, len(rows), step)])

    def _of(self, rows: np.ndarray) -> np.ndarray:
        found = take(self._database, rows)
        return exact_distances(self._query, np.zeros(len(rows), np.int64), found, np.arange(len(rows)), self._metric)


def _ranks(near: np.ndarray, apart: float, task: Query, exact: _Exact) -> np.ndarray:
    """Ranks from distances ``near [N]``, whose order is certain where they differ by more than ``apart``.

    ``near`` is the caller's to lose.
    """
    own = near[task.positives]
    near[task.positives] = near[task.ignored] = np.inf
    low, high = own - apart, own + apart
    before, at_most = _counts(near, low, high)
    for place in np.flatnonzero(at_most > before):
        close = np.flatnonzero((near >= low[place]) & (near <= high[place]))
        positive = task.positives[place]
        found = exact(np.concatenate([[positive], close]))
        distance, others = found[0], found[1:]
        before[place] += np.count_nonzero((others < distance) | ((others == distance) & (close < positive)))
    return np.sort(before) + np.arange(len(before))


def _counts(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of ``values`` are below each ``low``, and how many are at most each ``high``."""
    if len(low) > _FEW:
        values = np.sort(values)
        return np.searchsorted(values, low, "left"), np.searchsorted(values, high, "right")
    below = [np.count_nonzero(values < edge) for edge in low]
    return np.array(below, np.int64), np.array([np.count_nonzero(values <= edge) for edge in high], np.int64)
