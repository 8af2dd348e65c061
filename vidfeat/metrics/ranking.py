"""Average precision, both kinds.

Three positives at ranks 1, 3, 6 have 0.722 step-wise and 0.678 by the trapezoid rule.
"""

import numpy as np

from vidfeat.metrics.checks import relevance


def average_precision(relevant, scores) -> float:
    """Step-wise average precision Σ_n (R_n − R_{n−1}) P_n of a ranking by descending score, as scikit-learn defines it.

    Args:
        relevant: ``[n]`` of 0/1.
        scores: ``[n]``. Equal scores form one step: precision and recall are taken behind the last of them, so that the
            order of the input does not matter.

    Returns:
        A number in 0…1, NaN when nothing is relevant.
    """
    relevant, scores = relevance(relevant, scores)
    if not relevant.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    step_ends = np.append(np.nonzero(ranked[1:] != ranked[:-1])[0], len(order) - 1)
    hits = np.cumsum(relevant[order])[step_ends]
    return float(np.sum(np.diff(hits, prepend=0) * (hits / (step_ends + 1))) / hits[-1])


def trapezoid_average_precision(relevant) -> float:
    """Average precision by the trapezoid rule, as the evaluation programs of Holidays, Oxford and Paris compute it.

        Σ_i (R_i − R_{i−1}) (P_{i−1} + P_i) / 2 over ranks i = 1…n, P_0 = 1

    Args:
        relevant: ``[n]`` of 0/1 **in the order of the ranking**; the caller breaks ties and drops what does not count.

    Returns:
        A number in 0…1, NaN when nothing is relevant.

    Source: J. Philbin, O. Chum, M. Isard, J. Sivic, A. Zisserman, *Object Retrieval with Large Vocabularies and Fast
    Spatial Matching*, 2007 (evaluation program of the Oxford buildings).
    """
    relevant, _ = relevance(relevant, np.zeros(np.shape(relevant)))
    if not relevant.any():
        return float("nan")
    precision = np.cumsum(relevant) / np.arange(1, len(relevant) + 1)
    before = np.concatenate([[1.0], precision[:-1]])
    return float(np.mean((precision + before)[relevant] / 2))


def average_precisions(relevant, scores) -> np.ndarray:
    """:func:`average_precision` of every column of ``[n, classes]``; NaN for a class without relevant items."""
    relevant, scores = relevance(relevant, scores)
    return np.array([average_precision(relevant[:, c], scores[:, c]) for c in range(relevant.shape[1])])


def mean_average_precision(relevant, scores) -> float:
    """Mean of :func:`average_precisions` over the classes that have relevant items; NaN when none has."""
    values = average_precisions(relevant, scores)
    return float(np.mean(values[~np.isnan(values)])) if not np.isnan(values).all() else float("nan")
