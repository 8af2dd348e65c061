"""Dynamic images: a video, or each of its windows, as one still picture of its motion.

Source: H. Bilen, B. Fernando, E. Gavves, A. Vedaldi, S. Gould, *Dynamic Image Networks for Action Recognition*, 2016.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vidfeat.errors import ItemError
from vidfeat.pooling.approximate import ApproximateRankPooling

GREY, WHITE = 128, 255
GAP = 4  # white pixels between the pictures of a sheet
_ASPECT = 1.6  # width by height that a sheet comes near to
# What one video may take: sums of its open windows, and pixels of its sheet. Enough for one dynamic image of an 8K
# video, and for sheets that viewers still open.
MAX_SUM_BYTES, MAX_SHEET_PIXELS = 1 << 32, 100_000_000


@dataclass(frozen=True)
class DynamicImage:
    """picture: [H, W, 3] uint8 RGB; first, last: times in seconds of the first and the last frame behind it."""

    picture: np.ndarray
    first: float
    last: float


class DynamicImages:
    """The dynamic images of one video, whose frames come one by one; memory does not depend on its length.

    Windows of ``window`` frames begin at frame 0, ``hop``, 2 ``hop``, …. A last one that the end cuts off is kept if it
    has frames that no other has, and two at least (one shows no motion) unless it is the only one. ``window`` None: one
    of the whole video. ``count`` is the number of frames so far.
    """

    def __init__(self, window: int | None = None, hop: int | None = None) -> None:
        self._window, self._hop = window or math.inf, hop or window or math.inf
        self._open: list[tuple[float, ApproximateRankPooling]] = []  # first time and sums, oldest first
        self._done: list[DynamicImage] = []
        self._shape = torch.Size()
        self._last = math.nan
        self.count = 0

    def add(self, seconds: float, frame: torch.Tensor) -> None:
        """The next frame, [H, W, 3] uint8. ItemError if its size is another, or all this takes too much memory."""
        if self.count == 0:
            self._check_sums(frame)
        elif frame.shape != self._shape:
            raise ItemError(
                f"the frames change from {_size(self._shape)} to {_size(frame.shape)} at {seconds:.3f} s; "
                "--size WxH makes them equal."
            )
        if self.count == 0 or self.count % self._hop == 0:
            self._open.append((seconds, ApproximateRankPooling()))
        self._shape, self._last = frame.shape, seconds
        self.count += 1
        for _, pooling in self._open:
            pooling.add(frame)
        if self._open and self._open[0][1].count == self._window:
            self._close()

    def finish(self) -> list[DynamicImage]:
        """All dynamic images in order of time, after the last frame."""
        if self._open:
            # Of the windows that the end cuts off the oldest has all their frames; so may a complete one.
            new_frames = not self._done or self._done[-1].last < self._last
            if new_frames and (not self._done or self._open[0][1].count > 1):
                self._close()
        return self._done

    def _close(self) -> None:
        first, pooling = self._open.pop(0)
        self._done.append(DynamicImage(picture(pooling.result().numpy()), first, self._last))
        count = len(self._done)
        if count > 1 and count * self._shape[0] * self._shape[1] > MAX_SHEET_PIXELS:
            raise ItemError(
                f"{count} windows of {_size(self._shape)}, or more, do not fit on one sheet of "
                f"{MAX_SHEET_PIXELS / 1e6:.0f} million pixels; raise --hop, or lower --size."
            )

    def _check_sums(self, frame: torch.Tensor) -> None:
        overlap = 1 if self._window == math.inf else math.ceil(self._window / self._hop)
        needed = overlap * frame.numel() * ApproximateRankPooling.BYTES
        if needed > MAX_SUM_BYTES:
            raise ItemError(
                f"{overlap} dynamic images of {_size(frame.shape)} at a time take {needed / 2**30:.1f} GB of memory, "
                f"more than the {MAX_SUM_BYTES / 2**30:.0f} GB allowed; lower --size, or raise --hop."
            )


def picture(image: np.ndarray) -> np.ndarray:
    """[H, W, 3] real -> uint8, linearly: the smallest number to 0, the largest to 255, one scale for all channels.

    Where all numbers are equal (a still video, or a single frame) the picture is grey, 128. Every picture has a scale
    of its own, so grey levels cannot be compared between pictures.
    """
    low, high = float(image.min()), float(image.max())
    if low == high:
        return np.full(image.shape, GREY, np.uint8)
    return np.rint((image - low) * (255 / (high - low))).astype(np.uint8)


def contact_sheet(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures [H, W, 3] uint8 of one size side by side, row after row as one reads, on white; one alone as it is."""
    height, width = pictures[0].shape[:2]
    columns = min(len(pictures), max(1, round(math.sqrt(len(pictures) * _ASPECT * height / width))))
    rows = math.ceil(len(pictures) / columns)
    step_y, step_x = height + GAP, width + GAP
    sheet = np.full((rows * step_y - GAP, columns * step_x - GAP, 3), WHITE, np.uint8)
    for number, image in enumerate(pictures):
        top, left = number // columns * step_y, number % columns * step_x
        sheet[top : top + height, left : left + width] = image
    return sheet


def png(image: np.ndarray) -> bytes:
    """[H, W, 3] uint8 RGB as the bytes of a PNG file."""
    import cv2

    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]}x{shape[0]}"
