"""The lengths of the videos in a padded batch."""

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
