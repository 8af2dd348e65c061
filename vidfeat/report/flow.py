"""Optical flow as pictures: direction as colour, length as saturation, and the wheel that explains them.

Source: S. Baker, D. Scharstein, J. P. Lewis, S. Roth, M. J. Black, R. Szeliski, *A Database and Evaluation Methodology
for Optical Flow*, 2011 (its colour code).
"""

import math
from dataclasses import dataclass

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.metrics.flow import known_flow

# The wheel: its corners, clockwise on the screen from motion to the right, and the steps from each to the next. More
# steps where the eye tells more hues apart.
_CORNERS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], np.float64)
_STEPS = np.cumsum([0, 15, 6, 4, 11, 13, 6])
_BEYOND = 0.75  # brightness of what is longer than the maximum
_HUES = 4096  # entries of the table of the wheel: finer than 8 bits can show

WHITE, BLACK = 255, 0
GAP = 4  # white pixels between frame and flow


@dataclass(frozen=True)
class FlowPicture:
    """picture: [H, W, 3] uint8 RGB; maximum: length in pixels of the vectors that have full colour."""

    picture: np.ndarray
    maximum: float


def largest_motion(flow: np.ndarray, share: float = 1.0) -> float:
    """Length in pixels that this share of the known vectors of ``[…, 2, H, W]`` does not exceed; 0 if none is known.

    1 gives the longest one; 0.99 keeps a few outliers from making everything else pale.
    """
    if not 0 < share <= 1:
        raise UsageError(f"share is {share!r}; it must be above 0 and at most 1.")
    known = known_flow(flow)
    lengths = np.hypot(flow[..., 0, :, :][known], flow[..., 1, :, :][known], dtype=np.float64)
    return float(np.quantile(lengths, share, method="higher")) if lengths.size else 0.0


def flow_picture(flow: np.ndarray, maximum: float | None = None) -> FlowPicture:
    """A field in colour: the direction is the hue, the length the saturation.

    No motion is white, a vector of the maximal length has full colour, longer ones are darker by a quarter, unknown
    ones black. The wheel is closed here; in the original the last of its 55 steps has no direction, so that hues differ
    by up to a 55th of a turn.

    Args:
        flow: ``[2, H, W]`` pixels.
        maximum: pixels, > 0. By default the longest known vector (1 where nothing moves): then pictures of different
            fields cannot be compared.
    """
    if flow.ndim != 3 or flow.shape[0] != 2:
        raise UsageError(f"the flow has shape {list(flow.shape)}; a picture is made of one field [2, H, W].")
    if maximum is None:
        maximum = largest_motion(flow) or 1.0
    elif not (math.isfinite(maximum) and maximum > 0):
        raise UsageError(f"the maximal motion is {maximum!r}; it must be a finite number of pixels above 0.")
    known = known_flow(flow)
    x, y = np.where(known, flow, 0).astype(np.float32)
    length = np.hypot(x, y) * np.float32(1 / maximum)
    hue = _hues()[np.int32(np.arctan2(y, x) * (_HUES / (2 * math.pi)) + _HUES + 0.5) % _HUES]
    # From white towards the hue; beyond the maximum the hue itself, darker.
    colour = np.where((length <= 1)[..., None], 1 - np.minimum(length, 1)[..., None] * (1 - hue), hue * _BEYOND)
    picture = np.rint(colour * 255).astype(np.uint8)
    picture[~known] = BLACK
    return FlowPicture(picture, float(maximum))


def colour_wheel(size: int) -> np.ndarray:
    """The legend: the colour of each vector at its end, for those up to the maximum, ``[size, size, 3]`` uint8 RGB.

    Right is right and down is down; white outside the circle.
    """
    if size < 3:
        raise UsageError(f"a colour wheel of {size} pixels cannot be seen; give 3 or more.")
    offset = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / ((size - 1) / 2)
    field = np.stack(np.broadcast_arrays(offset[None, :], offset[:, None]))
    wheel = flow_picture(field, 1.0).picture
    wheel[np.hypot(*field) > 1] = WHITE
    return wheel


def with_legend(shown: FlowPicture) -> np.ndarray:
    """The picture with a colour wheel and its maximum in the lower right corner, if it has room for them; a copy."""
    import cv2

    picture = shown.picture.copy()
    height, width = picture.shape[:2]
    size = min(height, width) // 4
    if size < 24:
        return picture
    text, scale = f"{shown.maximum:.3g} px", size / 120
    (text_width, text_height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    margin = max(2, size // 16)
    box_width, box_height = max(size, text_width) + 2 * margin, size + text_height + below + 3 * margin
    box = picture[height - box_height :, width - box_width :]
    if box.shape[:2] != (box_height, box_width):
        return shown.picture.copy()
    box[...] = WHITE
    left = (box_width - size) // 2
    box[margin : margin + size, left : left + size] = colour_wheel(size)
    # OpenCV draws into contiguous memory only.
    line = np.full((text_height + below + margin, box_width, 3), WHITE, np.uint8)
    place = ((box_width - text_width) // 2, text_height)
    cv2.putText(line, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (BLACK,) * 3, 1, cv2.LINE_AA)
    box[box_height - len(line) :] = line
    return picture


def side_by_side(frame: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Frame on the left, flow on the right, on white: one frame of a film.

    Args:
        frame: ``[H, W, 3]`` uint8 RGB, or grey ``[H, W]``.
        picture: ``[H, W, 3]`` uint8 RGB.

    Returns:
        ``[H', W', 3]`` uint8: 2·W and a gap of 4 pixels, continued by white to even sides, as 4:2:0 video needs them.
    """
    if frame.ndim == 2:
        frame = np.repeat(frame[..., None], 3, axis=2)
    if frame.shape != picture.shape or frame.dtype != np.uint8 or picture.dtype != np.uint8:
        raise UsageError(
            f"the frame is {frame.dtype} {list(frame.shape)}, the picture of its flow {picture.dtype} "
            f"{list(picture.shape)}; both must be uint8 [H, W, 3] of one size."
        )
    height, width = frame.shape[:2]
    film = np.full((height + height % 2, 2 * width + GAP, 3), WHITE, np.uint8)
    film[:height, :width] = frame
    film[:height, width + GAP :] = picture
    return film


def _hues() -> np.ndarray:
    """Full colours by direction, ``[_HUES, 3]`` in 0…1: entry i for the angle 2π·i/_HUES from x to y."""
    steps = np.arange(_HUES) * (_STEPS[-1] / _HUES)
    return np.stack([np.interp(steps, _STEPS, channel) for channel in _CORNERS.T], axis=1).astype(np.float32)
