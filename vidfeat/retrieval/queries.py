"""What is to be found: the queries that every protocol comes down to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Query:
    """One query.

    name: how results call it. row: its own row among all codes. positives, ignored: rows of the database, ascending
    int64, none in both; the ignored ones (the query itself, junk) are taken out of its ranking. missing: further
    positives that the database does not have, so that they are never found. rectangle: x1, y1, x2, y2 in pixels of the
    part of the picture that shows what is sought, where the protocol has one.
    """

    name: str
    row: int
    positives: np.ndarray
    ignored: np.ndarray
    missing: int = 0
    rectangle: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Task:
    """The queries of a protocol, and counts of what is odd about them, by name."""

    queries: Sequence[Query]
    counts: Mapping[str, int] = field(default_factory=dict)


def rows_of(rows) -> np.ndarray:
    """Ascending int64, each row once."""
    return np.unique(np.fromiter(rows, np.int64))
