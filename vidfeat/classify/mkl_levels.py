"""Levels of temporal pyramids: which nodes they are, and the best single one."""

from collections.abc import Sequence

import numpy as np

from vidfeat.classify.crossval import choose_C
from vidfeat.classify.mkl_spaces import Streams
from vidfeat.errors import UsageError


def level_nodes(level: int) -> slice:
    """Nodes of level l = 1, 2, …: 2^(l−1) of them, level by level from the whole video."""
    return slice(2 ** (level - 1) - 1, 2**level - 1)


def level_count(nodes: int) -> int:
    """L of a pyramid of 2^L − 1 nodes. UsageError for any other number."""
    levels = (nodes + 1).bit_length() - 1
    if nodes < 1 or 2**levels - 1 != nodes:
        raise UsageError(
            f"{nodes} nodes are no whole temporal pyramid, which has 2^L − 1: 1, 3, 7, 15, … "
            "Make codes with 'vidfeat encode --pyramid L'."
        )
    return levels


def level_weights(space: Streams, level: int, per_stream: bool) -> np.ndarray:
    """Uniform weights on one level of every stream, 0 elsewhere; they sum to 1 in every stream, or over all."""
    beta = np.zeros(space.n_nodes)
    for place in space.places:
        beta[place[level_nodes(level)]] = 1 / 2 ** (level - 1)
    return beta if per_stream else beta / beta.sum()


def best_level(space: Streams, y: np.ndarray, groups: Sequence | None, C: float, combination: str) -> int:
    """The level whose machine predicts held-out groups of training items best; the first of equal ones."""
    if groups is None:
        raise UsageError("method='best-level' chooses by cross-validation over groups: give fit(…, groups=[n]).")
    most = min(level_count(len(place)) for place in space.places)
    scores = []
    for level in range(1, most + 1):
        gram = space.gram(level_weights(space, level, True))
        scores.append(choose_C(gram, y, groups, (C,), centre=False).score)
    return 1 + int(np.argmax(scores))
