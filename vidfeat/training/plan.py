"""Which videos a step takes, and which of them a process."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vidfeat.errors import UsageError


def epoch_plan(n: int, batch: int, seed: int, epoch: int) -> list[list[int]]:
    """The videos 0…n − 1 of every step of an epoch, in an order that depends on seed and epoch alone.

    Steps have ``batch`` videos, the last one 1 to ``batch``; but a lone last video joins the step before it where
    steps have several, because batch norm needs several.
    """
    if n < 1 or batch < 1:
        raise UsageError(f"{n} videos in steps of {batch}: both must be at least 1.")
    digest = hashlib.sha256(f"vidfeat-order-1:{seed}:{epoch}".encode()).digest()
    order = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little"))).permutation(n).tolist()
    steps = [order[start : start + batch] for start in range(0, n, batch)]
    if len(steps) > 1 and len(steps[-1]) == 1 < batch:
        last = steps.pop()
        steps[-1] += last
    return steps


def share(step: Sequence[int], rank: int, size: int) -> list[int]:
    """The videos of a step that process ``rank`` of ``size`` takes: every ``size``-th."""
    return list(step[rank::size])


def balanced_weights(targets: Tensor, classes: int) -> Tensor:
    """Class weights c_k = n/(K n_k), whose mean over the training videos is 1; float64 ``[K]``.

    Args:
        targets: class numbers ``[n]``, or 0/1 ``[n, K]``.

    Raises:
        UsageError: a class without any training video.
    """
    counts = targets.sum(0).to(torch.float64) if targets.ndim == 2 else torch.bincount(targets, minlength=classes)
    missing = [k for k in range(classes) if not counts[k]]
    if missing:
        raise UsageError(
            f"class {missing[0]} has no training video ({len(missing)} of {classes} classes have none), so it has no "
            "weight; leave such classes out, or train without class weights."
        )
    return counts.sum() / (classes * counts.to(torch.float64))
