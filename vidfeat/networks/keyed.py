"""Dropout whose masks depend on the frame and nothing else.

A frame is computed twice in a step, in whatever batch there is room for. Its mask is therefore a hash of (seed, epoch,
video, frame, layer, element): no generator has a state that batches, processes or restarts could disturb.
"""

import hashlib

import torch
from torch import Tensor, nn

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, odd, as a signed number
_FIRST, _SECOND = -49064778989728563, -4265267296055464877
_LEVELS = 1 << 16  # a mask's probability is a multiple of 1/65536


def mix(x: Tensor) -> Tensor:
    """64 bits to 64 bits, one to one, every bit of the result depending on every bit given (int64, wrapping).

    Source: A. Appleby, *MurmurHash3*, 2011 (its 64-bit finaliser).
    """
    x = (x ^ _right(x, 33)) * _FIRST
    x = (x ^ _right(x, 33)) * _SECOND
    return x ^ _right(x, 33)


def word_of(text: str) -> int:
    """64 bits of a text, as a signed number."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8], "little", signed=True)


def video_key(seed: int, epoch: int, stream: str, item: str) -> int:
    """The key of one video's masks in one epoch."""
    return word_of(f"vidfeat-masks-1:{seed}:{epoch}:{stream}:{item}")


def frame_keys(video: int, frames: Tensor) -> Tensor:
    """Keys int64 ``[n]`` of frames ``[n]``, counted from 0, of the video with this key."""
    return mix(frames * _GOLDEN + video)


def kept(keys: Tensor, layer: int, count: int, p: float) -> Tensor:
    """Masks bool ``[N, count]``, true with probability 1 − p (to 1/65536), for the frames with ``keys [N]``."""
    words = -(-count // 4)
    columns = mix(torch.arange(words, device=keys.device) * _GOLDEN + layer)
    bits = mix(keys[:, None] ^ columns).view(torch.int16)[:, :count]
    return bits >= threshold(p) - _LEVELS // 2


def threshold(p: float) -> int:
    """p in units of 1/65536."""
    return round(p * _LEVELS)


class KeyedDropout(nn.Module):
    """y = x · mask / (1 − p) in training, y = x otherwise; masks by frame.

    Args:
        p: probability of a zero.
        layer: the layer's name, so that two layers have different masks.
        axes: of x after the first that have masks of their own: all (dropout of elements), 1 (of whole maps) or 0 (of
            whole frames: stochastic depth).
    """

    def __init__(self, p: float, layer: str, axes: int | None = None):
        super().__init__()
        self.p, self.layer, self.axes = p, layer, axes
        self._word = word_of(layer)

    def forward(self, x: Tensor, keys: Tensor | None) -> Tensor:
        """``x [N, …]``, the keys int64 ``[N]`` of its frames; keys may be left out outside training."""
        if not self.training or threshold(self.p) == 0:
            return x
        if keys is None:
            raise ValueError(f"{self.layer}: dropout in training needs the keys of the frames")
        if threshold(self.p) == _LEVELS:
            return x * 0.0
        axes = x.ndim - 1 if self.axes is None else self.axes
        shape = torch.Size([*x.shape[1 : 1 + axes], *[1] * (x.ndim - 1 - axes)])
        mask = kept(keys, self._word, shape.numel(), self.p)
        return x * (mask.view(len(x), *shape).to(x.dtype) / (1.0 - threshold(self.p) / _LEVELS))

    def extra_repr(self) -> str:
        return f"p={self.p}, layer={self.layer!r}"


def _right(x: Tensor, bits: int) -> Tensor:
    """Shift without sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
