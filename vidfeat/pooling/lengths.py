"""The lengths of the videos in a padded batch."""

from collections.abc import Callable

import torch
from torch import Tensor

from vidfeat.errors import UsageError


def check_lengths(lengths, shape: torch.Size, device: torch.device) -> Tensor:
    """Return ``lengths`` as an int64 tensor [B] for a padded batch of shape [B, T, …], or raise UsageError."""
    if len(shape) < 3:
        raise UsageError(
            f"lengths came with a tensor of shape {list(shape)}: they belong to a padded batch [B, T, D]. "
            "Leave them out for a single video [T, D]."
        )
    result = torch.as_tensor(lengths, device=device)
    if result.dtype.is_floating_point or result.dtype.is_complex or result.dtype == torch.bool:
        raise UsageError(f"lengths have dtype {result.dtype}; allowed are integers, one per video.")
    if result.shape != shape[:1]:
        raise UsageError(
            f"lengths have shape {list(result.shape)}; a batch {list(shape)} needs one for each of {shape[0]}."
        )
    if ((result < 1) | (result > shape[1])).any():
        raise UsageError(
            f"lengths are {result.tolist()}; each must lie in 1…{shape[1]}, the padded length. Leave empty videos out."
        )
    return result.long()


def pool_videos(x: Tensor, lengths, pool: Callable[[Tensor], Tensor]) -> Tensor:
    """``pool`` of one video ``x [T, …]``; with ``lengths``, of each video of a padded batch ``[B, T, …]``, stacked.

    UsageError: no frame, wrong lengths, or a tensor that is not floating point.
    """
    if not x.is_floating_point():
        raise UsageError(f"Pooling over time needs a floating-point tensor, not {x.dtype}. Convert it with .float().")
    if lengths is not None:
        kept = check_lengths(lengths, x.shape, x.device).tolist()
        return torch.stack([pool(video[:length]) for video, length in zip(x, kept, strict=True)])
    if x.ndim == 0 or x.shape[0] == 0:
        raise UsageError(f"The video has shape {list(x.shape)}: no frame to pool. Leave empty videos out.")
    return pool(x)
