"""Presentation times of decoded frames: pure arithmetic on the stamps that the container gave them.

Frames keep the decoder's output order. The time of a frame is its presentation stamp (pts) as long as these strictly
increase; from the first frame whose pts is missing, not above its predecessor's or not below its successor's, it is
the decoding stamp (dts) instead, as real XviD AVIs need, whose pts are shuffled. A frame whose dts does not help
either takes its pts if that lies after the previous frame, else the previous time plus the previous frame's duration,
or halfway to the next stamp where that is sooner. Times therefore strictly increase, whatever the file says.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Stamp(NamedTuple):
    """What a container says of one frame, in ticks of its time base; None where it says nothing."""

    pts: int | None
    dts: int | None
    duration: int | None


def clocked(frames: Iterable[tuple[Stamp, T]], default_duration: float) -> Iterator[tuple[float, float, T]]:
    """(time, duration, frame) for each (stamp, frame), all in ticks, with one frame of look-ahead.

    ``default_duration`` (ticks, above 0) serves frames without a duration of their own.
    """
    trusted = True  # pts so far
    last: float | None = None
    step = default_duration
    held: tuple[Stamp, T] | None = None
    for entry in _with_end(frames):
        if held is not None:
            (stamp, frame), following = held, entry[0] if entry is not None else None
            trusted = trusted and _pts_holds(stamp, last, following)
            time = stamp.pts if trusted else _without_pts(stamp, last, following, step)
            step = stamp.duration or default_duration
            yield time, step, frame
            last = time
        held = entry


def _with_end(frames: Iterable[tuple[Stamp, T]]) -> Iterator[tuple[Stamp, T] | None]:
    yield from frames
    yield None


def _pts_holds(stamp: Stamp, last: float | None, following: Stamp | None) -> bool:
    if stamp.pts is None or (last is not None and stamp.pts <= last):
        return False
    return following is None or following.pts is None or following.pts > stamp.pts


def _without_pts(stamp: Stamp, last: float | None, following: Stamp | None, step: float) -> float:
    for candidate in (stamp.dts, stamp.pts):
        if candidate is not None and (last is None or candidate > last):
            return candidate
    if last is None:
        return 0
    # Two frames with one stamp: without this, every later frame would be one step late until the next gap.
    if following is not None and following.dts is not None and following.dts > last:
        step = min(step, (following.dts - last) / 2)
    return last + step
