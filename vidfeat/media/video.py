"""Reading a video file: the frames that a sampling asks for, as upright RGB with their times and stream indices."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from av.video.frame import PictureType, VideoFrame

from vidfeat.errors import ItemError, UsageError
from vidfeat.media.colour import RgbConverter, quarter_turns, upright
from vidfeat.media.decode import Decoded, Decoder
from vidfeat.media.packets import PacketTable, scan
from vidfeat.media.sampling import TIME_TOLERANCE, Sampling, by_fps, by_index, by_stride, midpoints

# A segment that begins within this many frames is read from the start: cheaper than a pass over all packets.
_SEEK_FROM = 64


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before it is read through.

    width, height: of the first frame as displayed (after rotation), pixels.
    rotation: counter-clockwise degrees by which the stored frames are turned, a multiple of 90 in 0 … 270.
    fps: average rate by the container; nan where it has none (images, some raw streams).
    frames_expected: the container's own count, less what an edit list cuts off; None where it has none.
    duration: seconds by the container; None where it does not say.
    first_time: presentation time of the first frame, seconds; segments count from it. nan if there is no frame.
    """

    width: int
    height: int
    rotation: int
    fps: float
    frames_expected: int | None
    duration: float | None
    first_time: float
    stream_index: int
    codec: str
    pixel_format: str


@dataclass(frozen=True)
class Frame:
    """One frame: position in the decoder's output, presentation time in seconds, upright [H, W, 3] uint8 RGB."""

    index: int
    time: float
    image: np.ndarray


class VideoReader:
    """A video file, opened; closes its file on ``close()`` or at the end of a ``with`` block.

    Opening decodes the first two frames (rotation and first time stand in them). Raises ``ItemError`` if the file
    cannot be opened, has no video stream, or not one frame of it can be decoded.

    ``decoded`` counts the frames that the last ``frames()`` went through (of the segment, if one was asked for);
    ``errors`` are decode errors in words, ``error_count`` their number.
    """

    def __init__(self, path: str | Path, *, threads: int = 1) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise UsageError(f"threads is {threads!r}; it must be a whole number of decoder threads, 1 or more.")
        self.path = Path(path)
        self._threads = threads
        self._open()
        self.info = self._describe()
        self.decoded = 0
        self._whole = True
        self._last_end = self.info.first_time

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._decoder.close()

    @property
    def errors(self) -> list[str]:
        return self._decoder.errors

    @property
    def error_count(self) -> int:
        return self._decoder.error_count

    def frames(
        self, sampling: Sampling = Sampling(), start: float | None = None, end: float | None = None
    ) -> Iterator[Frame]:
        """The frames of ``sampling`` within [start, end) seconds from the first frame's time, in order.

        Only these are converted to RGB; a few frames are in memory at any time. A later call reads the file anew.
        """
        for name, value in (("start", start), ("end", end)):
            if value is not None and not value >= 0:
                raise UsageError(f"{name} is {value}; segments are seconds from the first frame, 0 or more.")
        if end is not None and end <= (start or 0.0):
            raise UsageError(f"the segment ends at {end} s, which is not after its start at {start or 0.0} s.")
        self._whole = start is None and end is None
        self.decoded = 0
        to_rgb = RgbConverter()
        for frame in self._selected(sampling, start or 0.0, end):
            image = upright(to_rgb(frame.picture), frame.picture.rotation)
            yield Frame(frame.index, frame.time, image)

    def complaint(self) -> str:
        """What is wrong with what the last ``frames()`` read, in words; empty if nothing is.

        Decode errors; and, where a whole file was read to its end, fewer frames than the container's own count by more
        than one, or (Matroska, which has no count) a stream that ends half a second before its own duration.
        """
        texts = []
        if self.error_count:
            texts.append(f"{self.error_count} decode error{'s' * (self.error_count > 1)}, first at {self.errors[0]}")
        if self._whole and self._decoder.exhausted:
            expected, duration = self.info.frames_expected, _matroska_duration(self._decoder)
            if expected is not None and expected - self.decoded > 1:
                texts.append(f"{self.decoded} of {expected} frames could be read")
            elif duration is not None and duration - (self._last_end - self.info.first_time) > 0.5:
                got = self._last_end - self.info.first_time
                texts.append(f"the video ends after {got:.1f} of {duration:.1f} s")
        return "; ".join(texts)

    # -- opening

    def _open(self) -> None:
        self._decoder = Decoder(self.path, self._threads)
        try:
            self._rest = self._decoder.timed()
            self._first = next(self._rest, None)
            if self._first is None and self._decoder.error_count:
                raise ItemError(
                    f"nothing in '{self.path}' can be decoded ({self._decoder.error_count} errors, first at "
                    f"{self._decoder.errors[0]}); it is damaged, encrypted or cut."
                )
        except BaseException:
            self._decoder.close()
            raise
        self._fresh = True

    def _describe(self) -> VideoInfo:
        decoder, first = self._decoder, self._first
        stream = decoder.stream
        rotation = 90 * quarter_turns(first.picture.rotation) if first else 0
        size = (first.picture.width, first.picture.height) if first else (stream.width, stream.height)
        width, height = size if rotation % 180 == 0 else size[::-1]
        duration = decoder.container.duration
        return VideoInfo(
            width=width,
            height=height,
            rotation=rotation,
            fps=decoder.rate,
            frames_expected=_expected_frames(decoder),
            duration=stream.duration * decoder.tick if stream.duration else duration / 1e6 if duration else None,
            first_time=first.time if first else float("nan"),
            stream_index=stream.index,
            codec=stream.codec_context.name,
            pixel_format=first.picture.format.name if first else str(stream.codec_context.pix_fmt),
        )

    # -- choosing

    def _selected(self, sampling: Sampling, start: float, end: float | None) -> Iterator[Decoded]:
        if sampling.max_seconds is not None:
            end = min(start + sampling.max_seconds, end if end is not None else np.inf)
        window = self._window(start, end)
        if sampling.num_frames is not None:
            table, first = scan(self.path), self.info.first_time
            low = table.position(first + start) if start > 0 else 0
            high = table.position(first + end) if end is not None else len(table)
            return by_index(window, [low + middle for middle in midpoints(high - low, sampling.num_frames)])
        if sampling.fps is not None:
            return by_fps(window, sampling.fps, self.info.fps)
        return by_stride(window, sampling.stride)

    def _window(self, start: float, end: float | None) -> Iterator[Decoded]:
        """Decoded frames within [start, end) from the first frame's time; counts them, and stops after them."""
        first = self.info.first_time
        frames = self._from_keyframe(first + start) if start * self.info.fps > _SEEK_FROM else None
        for frame in frames if frames is not None else self._from_beginning():
            since = frame.time - first
            if since < start - TIME_TOLERANCE:
                self._decoder.forget_errors()  # they lie before the segment
                continue
            if end is not None and since >= end - TIME_TOLERANCE:
                return
            self.decoded += 1
            self._last_end = frame.time + frame.duration
            yield frame

    def _from_beginning(self) -> Iterator[Decoded]:
        if not self._fresh:
            self.close()
            self._open()
        self._fresh = False
        return chain([self._first], self._rest) if self._first is not None else iter(())

    # -- segments

    def _from_keyframe(self, start_time: float) -> Iterator[Decoded] | None:
        """The frames from ``start_time`` on, decoded from the keyframe before it; None where that is not safe.

        Safe is a file whose packets all have presentation stamps of their own, in a container and codec with one frame
        per packet, and whose decoder really gives those stamps one by one from the keyframe up to the start. Then
        index and time of a frame are what reading from the beginning gives. (In a file that is damaged before the
        segment the index counts the frames that are missing there.)
        """
        table = scan(self.path)
        target = table.position(start_time)
        key = table.key_before(target)
        if key is None or key[0] < _SEEK_FROM or target >= len(table):
            return None
        if table.times[0] != self.info.first_time:
            return None
        if not self._fresh:
            self.close()
            self._open()
        self._fresh = False
        self._rest.close()
        self._decoder.seek(key[1])
        pictures = self._decoder.pictures()
        first = self._roll_to(pictures, table, key[0], target)
        if first is None:
            return None
        return self._decoder.timed(chain([first], pictures), first_index=target)

    def _roll_to(self, pictures: Iterator[VideoFrame], table: PacketTable, key: int, target: int) -> VideoFrame | None:
        """The picture at position ``target``, if all pictures up to it are the ones that the table says."""
        expected: int | None = None
        for picture in pictures:
            rank = table.ranks.get(picture.pts)
            if rank is None or (expected is not None and rank != expected):
                return None
            if (expected is None and rank > key) or (rank == key and picture.pict_type != PictureType.I):
                return None  # a "keyframe" of P slices (intra refresh) is not yet whole
            if rank == target:
                self._decoder.forget_errors()  # they lie before the segment
                return picture
            expected = rank + 1
        return None


def _expected_frames(decoder: Decoder) -> int | None:
    """The container's count; in mp4 the index where it is shorter, as edit lists cut off frames that were counted."""
    count = decoder.stream.frames
    if not count:
        return None
    if "mp4" in decoder.container.format.name:
        count = min(count, sum(not entry.is_discard for entry in decoder.stream.index_entries))
    return count


def _matroska_duration(decoder: Decoder) -> float | None:
    """Seconds by the stream's own DURATION tag, which Matroska writers set at the end of a complete file."""
    if "matroska" not in decoder.container.format.name:
        return None
    try:
        hours, minutes, seconds = decoder.stream.metadata.get("DURATION", "").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
