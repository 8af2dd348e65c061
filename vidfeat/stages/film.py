"""Films that are made picture by picture."""

import contextlib
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vidfeat.store import fs

_TICKS = 90_000  # per second, as MPEG counts


class Film:
    """An H.264 film (MPEG-4 where this FFmpeg cannot encode H.264) of pictures [H, W, 3] uint8 RGB with even sides.

    It is written under a temporary name, and replaces what is at ``place`` when it is finished. StorageError if the
    disk fails.
    """

    def __init__(self, place: Path, height: int, width: int, rate: float) -> None:
        self.place = place
        self._temporary = place.with_name(f".{place.name[:100]}.{os.getpid()}.tmp")
        self._first: float | None = None
        with fs.writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(f"file:{self._temporary}", "w", format="mp4")
        h264 = "libx264" in av.codecs_available
        self._stream = self._container.add_stream(
            "libx264" if h264 else "mpeg4",
            rate=Fraction(rate).limit_denominator(1000),
            options={"crf": "18", "preset": "veryfast"} if h264 else {"qscale": "3"},
        )
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)

    def add(self, seconds: float, picture: np.ndarray) -> None:
        """The next picture; the film runs as fast as its times do."""
        if self._first is None:
            self._first = seconds
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts, frame.time_base = round((seconds - self._first) * _TICKS), Fraction(1, _TICKS)
        with fs.writing(self.place):
            self._container.mux(self._stream.encode(frame))

    def publish(self) -> None:
        """Finish, and give it its name."""
        with fs.writing(self.place):
            self._container.mux(self._stream.encode(None))
            self._container.close()
            fs.rename(self._temporary, self.place)
            fs.fsync_dir(self.place.parent)

    def abandon(self) -> None:
        """Remove what was written; nothing after ``publish``."""
        with contextlib.suppress(OSError):  # a full disk has no room for the end of the film either
            self._container.close()
        self._temporary.unlink(missing_ok=True)
