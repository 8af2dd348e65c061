"""What the packets of a video stream say, read without decoding: how many frames, when, and where keyframes are."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from vidfeat.media.clock import Stamp, clocked
from vidfeat.media.container import best_video_stream, frame_rate, open_container, time_base
from vidfeat.media.sampling import TIME_TOLERANCE

# Containers that store each frame's presentation time, and codecs that give exactly one frame per packet. Elsewhere
# (AVI, transport streams, VP8 with its invisible frames, …) a frame's index is only known by decoding up to it.
_SEEKABLE_FORMATS = frozenset({"mov", "mp4", "matroska", "webm"})
_SEEKABLE_CODECS = frozenset({"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4", "mjpeg", "prores"})


@dataclass(frozen=True)
class PacketTable:
    """The packets of one stream, in order of presentation.

    times: [N] float64 seconds, ascending.
    ranks: stamp (ticks) -> position in presentation order; empty where stamps cannot be trusted.
    keys: (position, dts in ticks) of each keyframe, by position; empty where stamps cannot be trusted.
    """

    times: np.ndarray
    ranks: dict[int, int]
    keys: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.times)

    def position(self, time: float) -> int:
        """The first position whose time is ``time`` or later, up to a microsecond."""
        return int(np.searchsorted(self.times, time - TIME_TOLERANCE, side="left"))

    def key_before(self, position: int) -> tuple[int, int] | None:
        """The last keyframe at or before ``position``; None if there is none, or stamps cannot be trusted."""
        return next((key for key in reversed(self.keys) if key[0] <= position), None)


def scan(path: Path) -> PacketTable:
    """Demux the file's best video stream; tables of the last few files are kept (segments share recordings)."""
    stat = path.stat()
    return _scan(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=8)
def _scan(path: Path, size: int, mtime_ns: int) -> PacketTable:
    container = open_container(path)
    try:
        stream = best_video_stream(container, path)
        stamps: list[Stamp] = []
        keys: list[tuple[int | None, int | None]] = []
        try:
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                if packet.is_keyframe:
                    keys.append((packet.pts, packet.dts))
                if not packet.is_discard:
                    stamps.append(Stamp(packet.pts, packet.dts, packet.duration))
        except (av.FFmpegError, OSError):
            pass  # the table ends where reading fails; the decoding pass records the error
        formats = set(container.format.name.split(","))
        one_to_one = bool(formats & _SEEKABLE_FORMATS) and stream.codec_context.name in _SEEKABLE_CODECS
        base, rate = time_base(stream), frame_rate(stream)
    finally:
        container.close()
    ticks: np.ndarray
    pts = sorted(stamp.pts for stamp in stamps if stamp.pts is not None)
    unique = len(pts) == len(stamps) and all(a < b for a, b in pairwise(pts))
    if unique:
        ticks = np.array(pts, np.float64)
    else:
        default = 1 / (rate * float(base)) if rate > 0 else 1.0
        dts_only = ((stamp._replace(pts=None), None) for stamp in stamps)
        ticks = np.array([time for time, _, _ in clocked(dts_only, default)], np.float64)
    times = ticks * base.numerator / base.denominator
    times.flags.writeable = False
    if not (unique and one_to_one):
        return PacketTable(times, {}, [])
    ranks = {stamp: rank for rank, stamp in enumerate(pts)}
    positions = [(int(np.searchsorted(ticks, key)), dts) for key, dts in keys if key is not None and dts is not None]
    return PacketTable(times, ranks, sorted(positions))
