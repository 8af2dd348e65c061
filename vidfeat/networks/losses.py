"""Losses of videos from the outputs of one or several streams."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from vidfeat.errors import UsageError
from vidfeat.networks.pools import mean_over_frames

LOSSES = ("ce", "hinge")


def check_targets(targets: Tensor, videos: int, classes: int, loss: str) -> None:
    """UsageError unless the targets are class numbers ``[B]``, or 0/1 ``[B, K]`` for the hinge loss."""
    several = targets.ndim == 2
    if several and loss == "ce":
        raise UsageError("videos with several labels need loss 'hinge'; cross-entropy takes one label per video.")
    wanted = [videos, classes] if several else [videos]
    if list(targets.shape) != wanted:
        raise UsageError(f"targets have shape {list(targets.shape)}; allowed are [{videos}] and [{videos}, {classes}].")
    if not several and len(targets) and (int(targets.min()) < 0 or int(targets.max()) >= classes):
        raise UsageError(f"targets {targets.tolist()} must be class numbers 0…{classes - 1}.")


def cross_entropy(scores: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """−c_y log p_y of every row: scores ``[n, K]`` before the soft-max, ``targets [n]``; c are class weights."""
    loss = functional.cross_entropy(scores, targets, reduction="none")
    return loss if weights is None else loss * weights[targets]


def mixture_loss(log_p: Sequence[Tensor], log_w: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """−c_y log Σ_s w_s p_s,y of every video, from log p ``[B, K]`` of each stream and log w ``[S]``."""
    fused = torch.logsumexp(torch.stack(list(log_p)) + log_w[:, None, None], dim=0)
    loss = -fused.gather(1, targets[:, None])[:, 0]
    return loss if weights is None else loss * weights[targets]


def hinge(scores: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Σ_k c_k max(0, 1 − y_k s_k) of every row, y = ±1: one-vs-rest, margin 1, ``scores [n, K]``.

    Source: B. Fernando, S. Gould, *Learning End-to-end Video Classification with Rank-Pooling*, 2016 (Hollywood2).
    """
    if targets.ndim == 1:
        targets = functional.one_hot(targets, scores.shape[1])
    signs = 2.0 * targets.to(scores.dtype) - 1.0
    loss = (1.0 - signs * scores).clamp(min=0.0)
    return (loss if weights is None else loss * weights).sum(1)


def log_mean_softmax(scores: Tensor, lengths: Sequence[int]) -> Tensor:
    """log of the mean over each video's frames of softmax(scores ``[ΣT, K]``): ``[B, K]``."""
    log_p = functional.log_softmax(scores, dim=1)
    if not lengths:
        return mean_over_frames(log_p, lengths)
    videos = log_p.split(list(lengths))
    return torch.stack([torch.logsumexp(video, 0) - torch.log(video.new_tensor(float(len(video)))) for video in videos])
