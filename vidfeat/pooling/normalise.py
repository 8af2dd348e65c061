"""Pointwise feature maps and L2 normalisation, both safe at zero: ReLU features hit it all the time."""

import torch
from torch import Tensor

from vidfeat.errors import UsageError

MAPS = ("none", "ssr", "posneg")


def l2_normalise(x: Tensor, dim: int = -1) -> Tensor:
    """x / ‖x‖₂ along ``dim``; a zero vector stays zero, and its gradient is zero too.

    Norms are taken in float64, so that no float32 vector, however small or large, loses its direction.
    """
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True, dtype=torch.float64)
    return (x / torch.where(norm > 0, norm, torch.inf)).to(x.dtype)


def feature_map(x: Tensor, kind: str = "none") -> Tensor:
    """Pointwise non-linear map of ``x [..., D]``.

    Args:
        kind: ``none``; ``ssr``, the signed square root sign(x)·√|x|, ``[..., D]``; or ``posneg``, √max(x, 0) beside
            √max(−x, 0), ``[..., 2D]``. The gradient of √ at 0 is taken as 0.

    Source: ``posneg`` is the map of B. Fernando, E. Gavves, J. Oramas, A. Ghodrati, T. Tuytelaars, *Modeling Video
    Evolution for Action Recognition*, 2015 (VideoDarwin), for CNN features.
    """
    if kind == "none":
        return x
    if kind == "ssr":
        return torch.sign(x) * _root(x.abs())
    if kind == "posneg":
        return torch.cat([_root(x.clamp(min=0)), _root(-x.clamp(max=0))], dim=-1)
    raise UsageError(f"map={kind!r} is unknown. Allowed: {', '.join(MAPS)}.")


def _root(x: Tensor) -> Tensor:
    """√x of x ≥ 0 with gradient 0 at 0; NaN stays NaN."""
    alive = x != 0
    return torch.where(alive, torch.sqrt(torch.where(alive, x, 1.0)), 0.0)
