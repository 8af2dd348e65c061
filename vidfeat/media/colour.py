"""Decoded pictures to RGB, by the matrix and range that the stream is tagged with, upright.

    R' = Y' + 2(1 − Kr)·Cr,  B' = Y' + 2(1 − Kb)·Cb,  G' = (Y' − Kr·R' − Kb·B') / (1 − Kr − Kb)

with Y' = (Y − 16)/219, C = (C − 128)/224 for limited range and Y' = Y/255, C = (C − 128)/255 for full range.
Untagged streams: BT.601 (Kr, Kb = 0.299, 0.114), as OpenCV and FFmpeg's scaler read them, and limited range, unless
the pixel format is one of the full-range ``yuvj`` kind or grey. Chroma of 4:2:0 is repeated, not interpolated
(FFmpeg's own fast path). HDR is not tone-mapped: the coded values are what comes out.
"""

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from vidfeat.errors import ItemError

_BT601 = 5
# AVColorSpace -> SWS_CS. 0 (RGB) and 3 (reserved) on a YUV picture are junk, 2 is "unspecified".
_MATRICES = {0: _BT601, 1: 1, 2: _BT601, 3: _BT601, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
_LIMITED, _FULL = 1, 2
_GREY = ("gray", "ya8", "ya16")
# swscale leaves grey as it is, whatever range it is told.
_GREY_TO_FULL = np.clip(np.round((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)


def colour_tags(picture: VideoFrame) -> tuple[int, int]:
    """(matrix, range) that a picture is converted by, in swscale's numbers."""
    pixels = picture.format
    if pixels.is_rgb:
        return _BT601, _FULL
    matrix = _MATRICES.get(picture.colorspace)
    if matrix is None:
        raise ItemError(
            f"the video's colour matrix has FFmpeg's number {picture.colorspace}, which is not converted here; BT.601, "
            "BT.709, FCC, SMPTE 240M and BT.2020 (non-constant luminance) are. Re-encode it into one of these."
        )
    if picture.color_range in (_LIMITED, _FULL):
        return matrix, picture.color_range
    full = pixels.name.startswith(("yuvj", *_GREY))
    return matrix, _FULL if full else _LIMITED


class RgbConverter:
    """Converts pictures one after the other, single-threaded; size, format and tags may change between pictures."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, picture: VideoFrame) -> np.ndarray:
        """[H, W, 3] uint8 RGB, C-contiguous, as stored (not yet upright)."""
        matrix, colour_range = colour_tags(picture)
        rgb = self._reformatter.reformat(
            picture,
            format="rgb24",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=colour_range,
            dst_color_range=_FULL,
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        plane = rgb.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(rgb.height, plane.line_size)
        # A view on FFmpeg's memory, which it keeps alive; copied only where FFmpeg padded the rows.
        image = np.ascontiguousarray(rows[:, : 3 * rgb.width]).reshape(rgb.height, rgb.width, 3)
        if colour_range == _LIMITED and picture.format.name.startswith(_GREY):
            return _GREY_TO_FULL[image]
        return image


def upright(image: np.ndarray, rotation: int) -> np.ndarray:
    """The image turned counter-clockwise by ``rotation`` degrees (of a display matrix), C-contiguous.

    Cameras write quarter turns; any other angle is brought to the nearest one, as no pixel grid can show it.
    """
    return np.ascontiguousarray(np.rot90(image, quarter_turns(rotation)))


def quarter_turns(rotation: int) -> int:
    """Counter-clockwise quarter turns, 0 … 3, nearest to an angle in degrees."""
    return round(rotation / 90) % 4
