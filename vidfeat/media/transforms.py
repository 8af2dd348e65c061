"""From a decoded frame to the pixels a network sees: resize and crop, in 8 bits, in channels-last memory.

Equal to ``torchvision.transforms.v2.functional`` ``resize`` and ``center_crop`` on uint8 tensors, bit for bit, and to
Pillow within one grey level, mostly on less than a hundredth of the pixels (the fixed-point kernel in torch is
Pillow's). torchvision's older ``transforms.functional`` computes in float32 and rounds: one level away on a fifth of
the pixels, at several times the cost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import interpolate

from vidfeat.errors import UsageError

_MODES = ("crop", "warp", "keep")
_INTERPOLATIONS = ("bilinear", "bicubic")


def _mirrored(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.flip(-1)


@dataclass(frozen=True)
class Geometry:
    """Resize and crop of every frame.

    mode "crop": the shorter side to ``shorter_side``, then the centre ``size`` × ``size``; "warp": both sides to
    ``size``, or to a ``size`` of (height, width), whatever the shape; "keep": no crop, and no resize unless
    ``shorter_side`` is given.
    ten_crop (mode "crop" only): four corners and the centre, then those of the mirrored picture, as torchvision does.
    ``antialias`` widens the filter when shrinking, as Pillow does.
    """

    mode: Literal["crop", "warp", "keep"] = "crop"
    shorter_side: int | None = 256
    size: int | tuple[int, int] | None = 224
    ten_crop: bool = False
    interpolation: str = "bilinear"
    antialias: bool = True

    def __post_init__(self) -> None:
        if self.mode not in _MODES:
            raise UsageError(f"resize mode is {self.mode!r}; allowed are {', '.join(_MODES)}.")
        if self.interpolation not in _INTERPOLATIONS:
            raise UsageError(f"interpolation is {self.interpolation!r}; allowed are {', '.join(_INTERPOLATIONS)}.")
        for name in ("shorter_side", "size"):
            value = getattr(self, name)
            pair = self.mode == "warp" and name == "size"
            lengths = value if pair and isinstance(value, tuple) and len(value) == 2 else (value,)
            if value is not None and not all(map(_is_length, lengths)):
                also = ", or a pair (height, width) of them" if pair else ""
                raise UsageError(f"{name} is {value!r}; it must be a whole number of pixels, 1 or more{also}.")
        needed = {"crop": ("shorter_side", "size"), "warp": ("size",), "keep": ()}[self.mode]
        unused = {"crop": (), "warp": ("shorter_side",), "keep": ("size",)}[self.mode]
        for name in needed:
            if getattr(self, name) is None:
                raise UsageError(f"resize mode {self.mode!r} needs {name}; give it in pixels.")
        for name in unused:
            if getattr(self, name) is not None:
                raise UsageError(f"resize mode {self.mode!r} has no use for {name}; leave it out.")
        if self.mode == "crop" and self.shorter_side < self.size:
            raise UsageError(
                f"shorter_side {self.shorter_side} is smaller than the crop of {self.size}; raise it, or lower size."
            )
        if self.ten_crop and self.mode != "crop":
            raise UsageError(f"ten_crop needs resize mode 'crop', not {self.mode!r}; mode {self.mode!r} has one view.")

    def __call__(self, image: np.ndarray) -> torch.Tensor:
        """[H, W, 3] uint8 -> [3, h, w] uint8 (ten-crop: [10, 3, h, w]), the channels adjacent in memory.

        One frame runs on the calling thread alone, without the GIL. The result may share memory with ``image``.
        """
        return self.cropped(self.resized(image))

    def resized(self, image: np.ndarray) -> torch.Tensor:
        """The first half: [H, W, 3] uint8 -> [3, H', W'] uint8, the whole picture."""
        height, width = image.shape[:2]
        pixels = torch.from_numpy(image)[None].permute(0, 3, 1, 2)  # the batch axis first: its stride marks the layout
        target = self.target(height, width)
        if target != (height, width):
            # uint8 in, uint8 out: torch's fixed-point kernel, without a float copy of the frame.
            pixels = interpolate(pixels, target, mode=self.interpolation, align_corners=False, antialias=self.antialias)
        return pixels[0]

    def cropped(
        self, pixels: torch.Tensor, mirrored: Callable[[torch.Tensor], torch.Tensor] = _mirrored
    ) -> torch.Tensor:
        """The second half: [C, H', W'] of any type -> [C, h, w] (ten-crop: [10, C, h, w]), a view where it can be one.

        ``mirrored`` exchanges left and right, which for flow also turns the vectors around.
        """
        if self.mode != "crop":
            return pixels
        return self._ten_crops(pixels, mirrored) if self.ten_crop else self._centre(pixels)

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after ``resized``."""
        if self.mode == "warp":
            return self.size if isinstance(self.size, tuple) else (self.size, self.size)
        if self.shorter_side is None:
            return height, width
        # torchvision truncates the longer side.
        if height <= width:
            return self.shorter_side, int(self.shorter_side * width / height)
        return int(self.shorter_side * height / width), self.shorter_side

    def _centre(self, pixels: torch.Tensor) -> torch.Tensor:
        height, width = pixels.shape[-2:]
        top, left = round((height - self.size) / 2.0), round((width - self.size) / 2.0)
        return pixels[:, top : top + self.size, left : left + self.size]

    def _ten_crops(self, pixels: torch.Tensor, mirrored: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        n = self.size
        out = torch.empty((10, len(pixels), n, n), dtype=pixels.dtype, memory_format=torch.channels_last)
        for first, view in ((0, pixels), (5, mirrored(pixels))):
            corners = (view[:, :n, :n], view[:, :n, -n:], view[:, -n:, :n], view[:, -n:, -n:])
            for i, crop in enumerate((*corners, self._centre(view)), first):
                out[i] = crop
        return out


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def stack_frames(frames: Sequence[torch.Tensor]) -> torch.Tensor:
    """N tensors [C, h, w] (or [10, C, h, w]) of one ``Geometry`` -> [N, C, h, w] (or [10 N, C, h, w]), channels-last.

    ``torch.stack`` itself would bring them into channels-first memory, at four times the cost.
    """
    rows = [frame.movedim(-3, -1) for frame in frames]
    batch = torch.stack(rows) if rows[0].ndim == 3 else torch.cat(rows)
    return batch.permute(0, 3, 1, 2)
