"""How well a pooled vector puts the frames of a video in order."""

import numpy as np

# Pairs compared at a time: an array of this many booleans fits a cache.
_PAIRS = 1 << 22


def temporal_order_error(scores) -> float:
    """Share of the pairs of frames that their scores put in the wrong order: (1 − Kendall's τ_a) / 2.

    Args:
        scores: ``[T]``, e.g. u·v_t, in the order of time.

    Returns:
        0 where scores rise from frame to frame, 1 where they fall, ½ for equal ones; a tie counts half. NaN for T < 2.
    """
    scores = np.asarray(scores, dtype=np.float64)
    T = len(scores)
    if T < 2:
        return float("nan")
    wrong, step = 0.0, max(1, _PAIRS // T)
    for start in range(0, T, step):
        rows = scores[start : start + step, None]
        later = np.arange(start, min(start + step, T))[:, None] < np.arange(T)
        wrong += ((rows > scores) & later).sum() + 0.5 * ((rows == scores) & later).sum()
    return float(wrong / (T * (T - 1) / 2))
