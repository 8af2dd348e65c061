"""Small synthetic videos for everybody's tests, written with PyAV."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def grey_level(index: int) -> int:
    """The luma of frame ``index`` in ``write_video``'s default picture: tells frames apart after any lossy codec."""
    return 30 + (index * 37) % 180


def flat_picture(index: int, width: int, height: int) -> np.ndarray:
    """[H, W, 3] uint8 RGB of one grey level."""
    return np.full((height, width, 3), grey_level(index), np.uint8)


def moving_picture(index: int, width: int, height: int) -> np.ndarray:
    """[H, W, 3] uint8 RGB: a bright square that moves over a gradient, so that motion prediction has work to do."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 200 // width, y * 200 // height, (x + y) * 100 // (width + height)], -1).astype(np.uint8)
    side = max(4, height // 4)
    top, left = (3 * index) % (height - side), (5 * index) % (width - side)
    image[top : top + side, left : left + side] = 60 + (index * 53) % 190
    return image


def write_video(
    path: Path,
    n_frames: int = 20,
    *,
    width: int = 64,
    height: int = 48,
    rate: int | Fraction = 25,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    picture: Callable[[int, int, int], np.ndarray] = moving_picture,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    gop: int = 12,
    b_frames: int = 0,
    options: dict[str, str] | None = None,
    rotation: int | None = None,
    colour: tuple[int, int] | None = None,
) -> Path:
    """Write ``n_frames`` of ``picture(index, width, height)``; the suffix chooses the container.

    times: presentation stamps in ticks of ``time_base`` (default: one tick of 1/rate per frame, from 0).
    rotation: counter-clockwise degrees of the display matrix. colour: (matrix, range) tags in FFmpeg's AVCOL numbers.
    """
    if codec == "libx264":
        options = {"preset": "ultrafast", "crf": "18", **(options or {})}
    base = time_base or 1 / Fraction(rate)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate), options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.time_base = stream.codec_context.time_base = base
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, b_frames
        stream.thread_count = 1
        if colour is not None:
            stream.codec_context.colorspace, stream.codec_context.color_range = colour
        if rotation is not None:
            stream.set_display_rotation(rotation)
        container.start_encoding()  # a header is written even for no frames
        for index in range(n_frames):
            frame = av.VideoFrame.from_ndarray(picture(index, width, height), "rgb24").reformat(format=pixel_format)
            frame.pts = times[index] if times is not None else index
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_planes(
    path: Path, planes: Sequence[np.ndarray], *, pixel_format: str, codec: str = "ffv1", colour: tuple[int, int] | None
) -> Path:
    """One lossless frame with exactly these Y, U, V planes (uint8, or uint16 for more than 8 bits)."""
    height, width = planes[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.thread_count = 1
        frame = av.VideoFrame(width, height, pixel_format)
        for plane, values in zip(frame.planes, planes, strict=True):
            rows = np.frombuffer(plane, values.dtype).reshape(plane.height, -1)
            rows[:, : plane.width] = values
        if colour is not None:
            stream.codec_context.colorspace, stream.codec_context.color_range = colour
            frame.colorspace, frame.color_range = colour
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut_in_half(source: Path, target: Path) -> Path:
    """The first half of a file's bytes, as an interrupted copy leaves it."""
    data = source.read_bytes()
    target.write_bytes(data[: len(data) // 2])
    return target
