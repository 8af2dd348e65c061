"""One pass over a video stream: packets in, decoded frames with times out, errors noted and survived."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
from av.packet import Packet
from av.video.frame import VideoFrame

from vidfeat.media.clock import Stamp, clocked
from vidfeat.media.container import best_video_stream, frame_rate, open_container, reason, time_base

# A demuxer that fails this often in a row without giving a packet will not recover.
_MAX_DEMUX_FAILURES = 16
# Enough words for a report; beyond it errors are only counted.
_MAX_ERROR_TEXTS = 20


class Decoded(NamedTuple):
    """A decoded picture, not yet converted: position in the stream, time and duration in seconds."""

    index: int
    time: float
    duration: float
    picture: VideoFrame


class Decoder:
    """Decodes the best video stream of a file, from its beginning or from a keyframe.

    ``threads`` decoder threads, always set explicitly (PyAV's default takes every CPU, and its slice threads have
    dead-locked beside torch). ``errors`` holds the first few decode errors in words, ``error_count`` their number.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.container = open_container(path)
        try:
            self.stream = best_video_stream(self.container, path)
            self.stream.thread_count = threads
            self.stream.thread_type = "FRAME" if threads > 1 else "NONE"
        except BaseException:
            self.container.close()
            raise
        self.tick = float(time_base(self.stream))
        self.rate = frame_rate(self.stream)
        self.errors: list[str] = []
        self.error_count = 0
        self.packets = 0
        self.exhausted = False

    def close(self) -> None:
        self.container.close()

    def seek(self, timestamp: int) -> None:
        """Go to the last keyframe at or before ``timestamp`` (ticks of the stream)."""
        self.container.seek(timestamp, stream=self.stream, backward=True, any_frame=False)

    def forget_errors(self) -> None:
        self.errors.clear()
        self.error_count = 0

    def timed(self, pictures: Iterator[VideoFrame] | None = None, first_index: int = 0) -> Iterator[Decoded]:
        """All frames from here on, numbered from ``first_index``, with strictly increasing times."""
        base = time_base(self.stream)
        duration = 1 / (self.rate * self.tick) if self.rate > 0 else 1.0
        stamped = ((Stamp(p.pts, p.dts, p.duration), p) for p in pictures or self.pictures())
        for index, (time, length, picture) in enumerate(clocked(stamped, duration), first_index):
            # num·time/den rounds once, so that a stamp of 83 000/25 000 s is the same float as 3.32.
            seconds = time * base.numerator / base.denominator
            yield Decoded(index, seconds, length * self.tick, picture)

    def pictures(self) -> Iterator[VideoFrame]:
        """Decoder output in its own order. A damaged packet costs its own frame, not the rest of the file."""
        for packet in self._demux():
            self.packets += 1
            try:
                pictures = packet.decode()
            except (av.FFmpegError, ValueError) as error:
                self._note(f"packet {self.packets}: {reason(error)}")
                continue
            for picture in pictures:
                if picture.is_corrupt:
                    self._note(f"packet {self.packets}: its frame is damaged")
                yield picture
        self.exhausted = True

    def _demux(self) -> Iterator[Packet]:
        failures = 0
        while failures < _MAX_DEMUX_FAILURES:
            try:
                for packet in self.container.demux(self.stream):
                    failures = 0
                    yield packet
                return
            except (av.FFmpegError, OSError) as error:
                failures += 1
                self._note(f"after packet {self.packets}: {reason(error)}")

    def _note(self, text: str) -> None:
        self.error_count += 1
        if len(self.errors) < _MAX_ERROR_TEXTS:
            self.errors.append(text)
