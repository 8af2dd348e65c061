"""What frames go through before they are rank-pooled."""

import torch
from torch import Tensor

from vidfeat.errors import UsageError
from vidfeat.pooling.normalise import MAPS, feature_map, l2_normalise
from vidfeat.pooling.smoothing import running_mean

DIRECTIONS = ("forward", "reverse", "both")


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise UsageError unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise UsageError(f"{name}={value!r} is unknown. Allowed: {', '.join(allowed)}.")


def check_preparation(map: str, direction: str) -> None:
    """Raise UsageError for an unknown map or direction."""
    check_choice("map", map, MAPS)
    check_choice("direction", direction, DIRECTIONS)


def prepare_frames(x: Tensor, smooth: bool = True, map: str = "none", normalize_frames: bool = True) -> Tensor:
    """x_t → m_t = (1/t) Σ_{τ≤t} x_τ → pointwise map → v_t = m_t / ‖m_t‖₂, each step but the first optional.

    Args:
        x: ``[..., T, D]``, floating point. Padding after the last frame of a batch does no harm.

    Returns:
        v ``[..., T, D']`` in float64; D' = 2D for the map ``posneg``. Zero frames stay zero, with zero gradients.

    Source: B. Fernando, S. Gould, *Learning End-to-end Video Classification with Rank-Pooling*, 2016, section 4.2.
    """
    mapped = feature_map(running_mean(x, torch.float64) if smooth else x.to(torch.float64), map)
    return l2_normalise(mapped) if normalize_frames else mapped


def reversed_frames(x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The frames of ``x [T, D]`` or of a padded batch ``[B, T, D]`` in reverse order; padding stays at the end."""
    if lengths is None:
        return x.flip(-2)
    t = torch.arange(x.shape[1], device=x.device)
    order = torch.where(t < lengths[:, None], lengths[:, None] - 1 - t, t)
    return x.gather(1, order[:, :, None].expand_as(x))
