"""Rank pooling as a layer of a network."""

import torch
from torch import Tensor, nn

from vidfeat.pooling.lengths import check_lengths
from vidfeat.pooling.normalise import l2_normalise
from vidfeat.pooling.preparation import check_choice, check_preparation, prepare_frames, reversed_frames
from vidfeat.pooling.rank import GRADIENTS, check_rank_parameters, rank_pool


class RankPool(nn.Module):
    """x_t → running mean m_t → map → v_t = m_t / ‖m_t‖₂ → u* → u* / ‖u*‖₂, differentiable from end to end.

    u* is that of :func:`vidfeat.pooling.rank_pool`. The layer has no weights.

    Args:
        C, epsilon: weight of the ranking loss and tolerance in frames.
        smooth: the time-varying mean m_t = (1/t) Σ_{τ≤t} x_τ; else m_t = x_t.
        map: pointwise map of m_t: ``none``, ``ssr`` (signed square root) or ``posneg`` (2D wide).
        normalize: L2-normalise the result, as ‖u*‖ grows with T; with ``both``, each half.
        direction: ``forward``; ``reverse``, which reverses the frames before smoothing; ``both`` side by side.
        gradient: ``exact`` or ``diag``.
        normalize_frames: divide every frame by its norm.

    The gradients of √ and of the norm at 0, which dead ReLU features meet, are taken as 0.

    Source: B. Fernando, S. Gould, *Learning End-to-end Video Classification with Rank-Pooling*, 2016, Eq. 5, section
    4.2; the L2 layer after it is ours (the source puts its classifier on u*).
    """

    def __init__(
        self,
        C: float = 2.0,
        epsilon: float = 0.1,
        smooth: bool = True,
        map: str = "none",
        normalize: bool = True,
        direction: str = "forward",
        gradient: str = "exact",
        normalize_frames: bool = True,
    ):
        super().__init__()
        check_rank_parameters(C, epsilon)
        check_preparation(map, direction)
        check_choice("gradient", gradient, GRADIENTS)
        self.C, self.epsilon, self.smooth, self.map = C, epsilon, smooth, map
        self.normalize, self.direction, self.gradient = normalize, direction, gradient
        self.normalize_frames = normalize_frames

    def forward(self, x: Tensor, lengths=None) -> Tensor:
        """Pool ``x [T, D]``, or a padded batch ``[B, T, D]`` with integers ``lengths [B]``: ``[D']`` or ``[B, D']``.

        The result has the type of x; bfloat16 and float16, as autocast gives them, are pooled in float32.
        """
        x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        if lengths is not None:
            lengths = check_lengths(lengths, x.shape, x.device)
            # Padding may hold anything, but 0 · NaN would reach the gradient.
            x = torch.where((torch.arange(x.shape[1], device=x.device) < lengths[:, None])[:, :, None], x, 0.0)
        orders = {"forward": (False,), "reverse": (True,), "both": (False, True)}[self.direction]
        return torch.cat([self._pooled(reversed_frames(x, lengths) if back else x, lengths) for back in orders], dim=-1)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_")
                         and name != "training")  # fmt: skip

    def _pooled(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        v = prepare_frames(x, self.smooth, self.map, self.normalize_frames)
        u = rank_pool(v, self.C, self.epsilon, lengths, self.gradient)
        return (l2_normalise(u) if self.normalize else u).to(x.dtype)
