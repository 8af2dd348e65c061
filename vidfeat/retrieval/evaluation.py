"""From the ranks of the positives to figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidfeat.metrics import average_precision, trapezoid_average_precision

CUTOFFS = (1, 5, 10, 100)


@dataclass(frozen=True)
class Judged:
    """One query's result.

    ap: by the trapezoid rule; ap_stepwise: by steps. positives: how many there are, found or not. first_rank: of the
    best positive, from 1; None if none is in the database. within: how many of them are among the first k, by k.
    """

    ap: float
    ap_stepwise: float
    positives: int
    first_rank: int | None
    within: dict[int, int]


def judge(ranks: np.ndarray, missing: int = 0) -> Judged:
    """Judge one ranking by the ranks of its positives (ascending, from 0) and the number of those never found.

    Three positives at ranks 1, 3, 6 (from 1) have ap 0.678 and ap_stepwise 0.722. Each positive adds its part of the
    area under the curve of precision over recall, those never found nothing.
    """
    ranks = np.asarray(ranks, np.int64)
    total = len(ranks) + missing
    within = {k: int(np.searchsorted(ranks, k)) for k in CUTOFFS}
    if not len(ranks):
        return Judged(0.0, 0.0, total, None, within)
    relevant = np.zeros(ranks[-1] + 1, bool)  # what comes behind the last positive changes nothing
    relevant[ranks] = True
    share = len(ranks) / total
    ap = trapezoid_average_precision(relevant) * share
    stepwise = average_precision(relevant, -np.arange(len(relevant))) * share
    return Judged(ap, stepwise, total, int(ranks[0]) + 1, within)


def figures(judged: Sequence[Judged]) -> dict[str, Any]:
    """Means over the queries.

    map, map_stepwise: mean average precision. recall: share of the positives that are among the first k. hit: share of
    queries with a positive among the first k (also called recall@k where each query has one positive).
    """
    return {
        "map": float(np.mean([one.ap for one in judged])),
        "map_stepwise": float(np.mean([one.ap_stepwise for one in judged])),
        "recall": {str(k): float(np.mean([one.within[k] / one.positives for one in judged])) for k in CUTOFFS},
        "hit": {str(k): float(np.mean([one.within[k] > 0 for one in judged])) for k in CUTOFFS},
    }
