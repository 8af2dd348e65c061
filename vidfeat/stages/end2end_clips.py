"""What a network sees of a cached video: crops of frames, or stacks of fields of flow, the same in every reading."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vidfeat.flow.stacks import flip_flow

_MIDDLE = 127.5  # the level of zero flow


@dataclass(frozen=True)
class View:
    """A square of every frame of a video.

    Attributes:
        side: of the square, as a share of the largest that fits at the network's scale.
        y, x: where it lies, 0 (top, left) … 1 (bottom, right).
        flip: left and right exchanged.
    """

    side: float = 1.0
    y: float = 0.5
    x: float = 0.5
    flip: bool = False


CENTRE = View()


def drawn_view(seed: int, epoch: int, item: str, smallest: float = 0.8, flip: bool = True) -> View:
    """The view of one video in one epoch: all its frames share it, and nothing else has a part in it.

    Args:
        smallest: side of the smallest square; the side is uniform between that and 1, the place uniform.
        flip: whether half of the videos are mirrored.
    """
    digest = hashlib.sha256(f"vidfeat-view-1:{seed}:{epoch}:{item}".encode("utf-8", "surrogatepass")).digest()
    side, y, x, mirror = (int.from_bytes(digest[8 * i : 8 * i + 8], "little") / 2.0**64 for i in range(4))
    return View(smallest + (1.0 - smallest) * side, y, x, flip and mirror < 0.5)


@dataclass(frozen=True)
class Crop:
    """Squares of frames, resized to the network's input.

    Attributes:
        size: side of the input.
        interpolation: ``bilinear`` or ``bicubic``.
        antialias: whether shrinking filters.
    """

    size: int
    interpolation: str = "bilinear"
    antialias: bool = True

    def square(self, height: int, width: int, view: View) -> tuple[int, int, int]:
        """(top, left, side) in pixels; the centre of side 1 is the centre crop of ``extract``."""
        whole = min(self.size, height, width)
        side = max(1, round(whole * view.side))
        return round((height - side) * view.y), round((width - side) * view.x), side

    def resized(self, pixels: Tensor) -> Tensor:
        """uint8 ``[n, C, side, side]`` -> ``[n, C, size, size]``."""
        if pixels.shape[-1] == self.size:
            return pixels
        side = (self.size, self.size)
        return interpolate(pixels, side, mode=self.interpolation, align_corners=False, antialias=self.antialias)


class RgbClip:
    """Frames of a video: ``clip[a:b:step]`` is uint8 ``[n, 3, size, size]``, channels-last.

    Args:
        frames: uint8 ``[T, H, W, 3]``.
        crop, view: which part of them, and how large.
    """

    def __init__(self, frames: np.ndarray, crop: Crop, view: View = CENTRE) -> None:
        self._frames, self._crop, self._view = frames, crop, view

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, frames: slice) -> Tensor:
        top, left, side = self._crop.square(*self._frames.shape[1:3], self._view)
        pixels = np.array(self._frames[frames, top : top + side, left : left + side])
        found = self._crop.resized(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        return found.flip(-1) if self._view.flip else found


class FlowClip:
    """Stacks of fields of a video: ``clip[a:b:step]`` is uint8 ``[n, 2·length, size, size]``.

    Row k holds the fields from k·stride on, channels x1, y1, x2, y2, …. Where a square is enlarged, its vectors are
    too; mirrored squares have x negated.

    Args:
        fields: uint8 ``[F, 2, H, W]``, zero flow at 127.5.
        crop, view: which part of them, and how large.
        length: fields in a stack.
        stride: fields from one stack to the next.
    """

    def __init__(self, fields: np.ndarray, crop: Crop, view: View = CENTRE, length: int = 10, stride: int = 1) -> None:
        self._fields, self._crop, self._view, self._length = fields, crop, view, length
        self._starts = range(0, max(0, len(fields) - length + 1), stride)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, stacks: slice) -> Tensor:
        starts = self._starts[stacks]
        size = self._crop.size
        if not len(starts):
            return torch.empty(0, 2 * self._length, size, size, dtype=torch.uint8)
        first, last = starts[0], starts[-1] + self._length
        top, left, side = self._crop.square(*self._fields.shape[2:], self._view)
        part = np.array(self._fields[first:last, :, top : top + side, left : left + side])
        fields = self._scaled(torch.from_numpy(part), size / side)
        fields = flip_flow(fields) if self._view.flip else fields
        rows = torch.tensor(starts)[:, None] - first + torch.arange(self._length)
        return fields[rows].flatten(1, 2)

    def _scaled(self, fields: Tensor, factor: float) -> Tensor:
        """Resized, with vectors as much longer as the picture is larger; what leaves the bound is clipped to it."""
        if factor == 1.0:
            return fields
        levels = self._crop.resized(fields.float())
        return ((levels - _MIDDLE) * factor + _MIDDLE).round_().clamp_(0, 255).to(torch.uint8)
