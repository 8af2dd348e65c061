"""Which frames of a video are kept: pure arithmetic on indices and times, no decoding.

Rules (times in seconds, t0 the time of the first frame of the video or segment):

* ``fps`` f: for k = 0, 1, … the last frame with time ≤ t0 + k/f + h, where h is half a frame of the source, never the
  same frame twice; f at or above the source's rate keeps all. A frame holds until the next one begins, the last one
  until its own duration is over.
* ``num_frames`` n: of N frames, those at ⌊(i + ½)·N/n⌋, i = 0 … n−1, never the same one twice.
* ``stride`` s: every s-th, from the first.
* ``max_seconds`` m: only frames with time < t0 + m; it combines with each of the above.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

from vidfeat.errors import UsageError

# Times come from integer ticks and from decimal seconds in manifests: they are compared up to a microsecond.
TIME_TOLERANCE = 1e-6
# k/f falls exactly between two frames for many pairs of rates; this share of a period decides such ties by the rule
# ("≤": the later frame) instead of by the last bit of a float.
_TIE = 1e-6


@dataclass(frozen=True)
class Sampling:
    """The sampling options. ``fps``, ``num_frames`` and ``stride`` exclude one another."""

    fps: float | None = None
    num_frames: int | None = None
    stride: int = 1
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise UsageError(f"fps is {self.fps}; it must be a number of frames per second above 0.")
        if self.max_seconds is not None and not (math.isfinite(self.max_seconds) and self.max_seconds > 0):
            raise UsageError(f"max_seconds is {self.max_seconds}; it must be a number of seconds above 0.")
        for name in ("num_frames", "stride"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise UsageError(f"{name} is {value!r}; it must be a whole number, 1 or more.")
        given = [
            name
            for name, is_set in (
                ("fps", self.fps is not None),
                ("num_frames", self.num_frames is not None),
                ("stride", self.stride != 1),
            )
            if is_set
        ]
        if len(given) > 1:
            raise UsageError(
                f"{' and '.join(given)} were both given; choose one of fps, num_frames and stride "
                "(--fps, --num-frames and --stride on the command line)."
            )


class Timed(Protocol):
    """A frame as far as sampling is concerned; ``duration`` is in seconds, 0 where unknown."""

    index: int
    time: float
    duration: float


F = TypeVar("F", bound=Timed)


def midpoints(count: int, n: int) -> list[int]:
    """The middles of ``n`` equal parts of ``count`` frames, ascending and without repetition.

    ⌊(i + ½)·count/n⌋ for i = 0 … n−1; with ``n`` ≥ ``count`` these are all frames.
    """
    return list(dict.fromkeys((2 * i + 1) * count // (2 * n) for i in range(n))) if count > 0 else []


def by_stride(frames: Iterable[F], stride: int) -> Iterator[F]:
    """Every ``stride``-th frame, from the first."""
    return islice(frames, 0, None, stride)


def by_index(frames: Iterable[F], indices: Sequence[int]) -> Iterator[F]:
    """The frames whose index is among ``indices`` (ascending); reading stops at the last of them."""
    if not indices:
        return
    wanted, last = frozenset(indices), indices[-1]
    for frame in frames:
        if frame.index in wanted:
            yield frame
        if frame.index >= last:
            return


def by_fps(frames: Iterable[F], fps: float, source_rate: float) -> Iterator[F]:
    """The frames that ``fps`` asks for, with one frame of look-ahead.

    Frame i holds the sampling points k with a_i ≤ k < a_{i+1}, a_i = (t_i − t0 − h)·f; it is kept if there is one.
    ``source_rate`` is the source's frames per second (h = ½ / source_rate); nan or 0 where unknown: then h = 0.
    """
    known = math.isfinite(source_rate) and source_rate > 0
    if known and fps >= source_rate * (1 - _TIE):
        yield from frames
        return
    half = 0.5 / source_rate if known else 0.0

    def position(time: float) -> float:
        return (time - first - half) * fps - _TIE

    held: F | None = None
    first = 0.0
    for frame in frames:
        if held is None:
            first = frame.time
        elif max(0, math.ceil(position(held.time))) < position(frame.time):
            yield held
        held = frame
    if held is not None:
        duration = held.duration if held.duration > 0 else 2 * half
        # A frame of unknown duration in a stream of unknown rate still holds the instant at which it begins.
        end = position(held.time + duration) if duration > 0 else math.inf
        if max(0, math.ceil(position(held.time))) < end:
            yield held
