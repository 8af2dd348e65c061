"""Frames of one item, whatever it is: video, segment of a video, or image. Knows neither torch nor geometry."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vidfeat.errors import ItemError
from vidfeat.media import kind
from vidfeat.media.sampling import Sampling


@dataclass(frozen=True)
class Outcome:
    """How reading an item ended.

    state: "done"; "truncated" (decode errors, or the file ends too early: what could be read is kept); "empty" (no
    frame). reason: the cause in words, empty for "done". frames_decoded: frames gone through, of the segment if any.
    """

    state: Literal["done", "truncated", "empty"]
    reason: str
    frames_decoded: int


class FrameSource:
    """Iterates (index, time in s, upright [H, W, 3] uint8 RGB); then ``outcome()``.

    ``source`` has width, height, rotation, fps, frames_expected. Raises ``ItemError`` if the item cannot be opened.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        start: float | None = None,
        end: float | None = None,
        sampling: Sampling = Sampling(),
        threads: int = 1,
    ) -> None:
        self._path = Path(path)
        self._segment = (start, end)
        self._sampling = sampling
        self._reader = self._image = None
        if kind(self._path) == "image":
            self._open_image()
        else:
            self._open_video(threads)
        self._frames = 0
        self._outcome: Outcome | None = None

    def _open_image(self) -> None:
        from vidfeat.media.image import load_image  # OpenCV is not loaded for videos

        if self._segment != (None, None):
            raise ItemError(f"'{self._path}' is an image, which has no segments; leave its start and end empty.")
        self._image = load_image(self._path)
        height, width = self._image.pixels.shape[:2]
        self.source: dict[str, Any] = {
            "width": width, "height": height, "rotation": 0, "fps": math.nan, "frames_expected": 1,
        }  # fmt: skip

    def _open_video(self, threads: int) -> None:
        from vidfeat.media.video import VideoReader  # PyAV is not loaded for images

        self._reader = VideoReader(self._path, threads=threads)
        info = self._reader.info
        self.source = {
            "width": info.width,
            "height": info.height,
            "rotation": info.rotation,
            "fps": info.fps,
            "frames_expected": info.frames_expected if self._segment == (None, None) else None,
        }

    def __iter__(self) -> Iterator[tuple[int, float, np.ndarray]]:
        self._frames = 0
        if self._image is not None:
            self._frames = 1
            yield 0, 0.0, self._image.pixels
            self._outcome = self._judge(1, self._image.complaint)
            return
        for frame in self._reader.frames(self._sampling, *self._segment):
            self._frames += 1
            yield frame.index, frame.time, frame.image
        self._outcome = self._judge(self._reader.decoded, self._reader.complaint())

    def _judge(self, decoded: int, complaint: str) -> Outcome:
        if not self._frames:
            where = "the segment" if self._segment != (None, None) else "the video"
            return Outcome("empty", complaint or f"{where} has no frame", decoded)
        return Outcome("truncated" if complaint else "done", complaint, decoded)

    def outcome(self) -> Outcome:
        """How reading ended; a ``RuntimeError`` before the last frame was taken."""
        if self._outcome is None:
            raise RuntimeError("the outcome of an item is known only after all its frames were taken")
        return self._outcome

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
