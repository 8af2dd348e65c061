"""Opening a media file with PyAV, and the choice of its video stream."""

import math
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vidfeat.errors import ItemError


def open_container(path: Path) -> InputContainer:
    """The opened file; an ``ItemError`` in words if it is none or cannot be read.

    Only local files are read, whatever a playlist inside one may ask for.
    """
    if not path.exists():
        raise ItemError(f"'{path}' does not exist.")
    if path.is_dir():
        raise ItemError(f"'{path}' is a directory, not a video file.")
    if not path.is_file():
        raise ItemError(f"'{path}' is a device or a pipe, not a file; copy its contents into a file.")
    if path.stat().st_size == 0:
        raise ItemError(f"'{path}' is a file of 0 bytes; nothing was ever written into it, or a copy failed.")
    try:
        # "file:" keeps FFmpeg from reading a colon in a name as a protocol.
        return av.open(f"file:{path}", metadata_errors="replace", options={"protocol_whitelist": "file"})
    except PermissionError as error:
        raise ItemError(f"'{path}' may not be read by this user ({error.strerror}); change its permissions.") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ItemError(
            f"'{path}' cannot be opened as a video: {reason(error)}. It is another kind of file, or it is damaged: a "
            "cut mp4 loses its index, which stands at the end."
        ) from error


def best_video_stream(container: InputContainer, path: Path) -> VideoStream:
    """FFmpeg's own choice (``av_find_best_stream``), cover pictures left aside.

    In FFmpeg's order: not marked for the hearing or visually impaired, marked as default, more frames seen while
    probing (up to five), higher bit rate. Of two equal ones the first. A cover picture in an audio file is a "video
    stream" of one frame; if FFmpeg picks one, the largest of the real video streams is taken instead.
    """
    stream = container.streams.best("video")
    if stream is not None and _is_picture(stream):
        real = [other for other in container.streams.video if not _is_picture(other)]
        stream = max(real, key=lambda s: s.width * s.height, default=None)
    if stream is None:
        others = ", ".join(f"{s.type} {s.codec_context.name if s.codec_context else '?'}" for s in container.streams)
        raise ItemError(f"'{path}' has no video stream; it has {others or 'no stream at all'}.")
    if stream.codec_context is None:
        raise ItemError(f"'{path}' has a video stream that this build of FFmpeg cannot decode; re-encode it.")
    return stream


def _is_picture(stream: VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def frame_rate(stream: VideoStream) -> float:
    """Average frames per second by the container, or FFmpeg's guess; nan if it has neither."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate:
            return float(rate)
    return math.nan


def time_base(stream: VideoStream) -> Fraction:
    """Seconds per tick of the stream's stamps."""
    return stream.time_base or Fraction(1, 1)


def reason(error: BaseException) -> str:
    """FFmpeg's words for an error, without the path and the call that PyAV adds."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
