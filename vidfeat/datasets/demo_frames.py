"""Frames of the synthetic demo set: a handwritten digit on a textured background.  FROZEN: see ``DEMO_VERSION``.

Everything below is integer arithmetic on the raw 64-bit words of PCG64, whose stream NumPy guarantees (its
distributions it does not), so the pixels are the same on every machine and with every NumPy.  Lengths are in 1/256
pixel, time in 1/4096 of the clip.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

# Raised, with a new pinned hash in the tests, if a pixel ever changes: results on two versions do not compare.
DEMO_VERSION = 1

WIDTH, HEIGHT, FPS = 160, 120, 25
_SUB = 256
_CLIP = 4096


class Draws:
    """Random integers by the raw words of PCG64, one stream per key."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def between(self, low: int, high: int) -> int:
        """An integer of low…high, both included (the modulo bias of 64 bits is below 1e-15)."""
        return low + int(self._bits.random_raw()) % (high - low + 1)

    def bytes(self, count: int) -> np.ndarray:
        """``count`` uniform bytes."""
        words = self._bits.random_raw((count + 7) // 8).astype("<u8")
        return words.view(np.uint8)[:count]


@dataclass(frozen=True)
class State:
    """Where the digit is at one moment: centre and side in 1/256 pixel, opacity 0…256."""

    x: int
    y: int
    side: int
    opacity: int


Motion = Callable[[int], State]


def _towards(draws: Draws) -> Callable[[int], int]:
    """Progress 0…4096 over the clip: rest, steady motion, rest; both rests have the same distribution."""
    before, after = draws.between(0, _CLIP // 6), draws.between(0, _CLIP // 6)
    return lambda time: min(max((time - before) * _CLIP // (_CLIP - before - after), 0), _CLIP)


def _between(low: int, high: int, progress: int) -> int:
    return low + (high - low) * progress // _CLIP


def _across(draws: Draws) -> Motion:
    """From the left edge of the central square to its right edge."""
    progress, side = _towards(draws), draws.between(34, 46) * _SUB
    y = draws.between(40, 80) * _SUB
    left, right = draws.between(44, 52) * _SUB, draws.between(108, 116) * _SUB
    return lambda time: State(_between(left, right, progress(time)), y, side, 256)


def _growing(draws: Draws) -> Motion:
    """From a small to a large digit."""
    progress = _towards(draws)
    x, y = draws.between(72, 88) * _SUB, draws.between(54, 66) * _SUB
    small, large = draws.between(14, 20) * _SUB, draws.between(76, 90) * _SUB
    return lambda time: State(x, y, _between(small, large, progress(time)), 256)


def _appearing(draws: Draws) -> Motion:
    """From an empty scene to a fully visible digit that stays in its place."""
    progress, side = _towards(draws), draws.between(50, 64) * _SUB
    x, y = draws.between(64, 96) * _SUB, draws.between(50, 70) * _SUB
    return lambda time: State(x, y, side, progress(time) * 256 // _CLIP)


def _dipping(draws: Draws) -> Motion:
    """One period, from the top to the bottom and back; as long near the top as near the bottom."""
    x, side = draws.between(60, 100) * _SUB, draws.between(34, 46) * _SUB
    top, bottom = draws.between(28, 34) * _SUB, draws.between(86, 92) * _SUB
    return lambda time: State(x, _between(top, bottom, min(time, _CLIP - time) * 2), side, 256)


def _forwards(index: int, count: int) -> int:
    return index


def _backwards(index: int, count: int) -> int:
    return count - 1 - index


def _half_period_later(index: int, count: int) -> int:
    return (index + count // 2) % count


# Class: its motion and the order in which the frames of the motion are shown. Two classes share each motion.
CLASSES: dict[str, tuple[Callable[[Draws], Motion], Callable[[int, int], int]]] = {
    "right": (_across, _forwards),
    "left": (_across, _backwards),
    "grow": (_growing, _forwards),
    "shrink": (_growing, _backwards),
    "appear": (_appearing, _forwards),
    "vanish": (_appearing, _backwards),
    "dip": (_dipping, _forwards),
    "hop": (_dipping, _half_period_later),
}


def frames(seed: int, label: str, series: int, digits: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the uint8 [120, 160, 3] RGB frames of one clip of 1.2 to 2 s.

    ``digits`` [n, 8, 8] holds values 0…16, from which one digit is drawn. Digit, colours, background, place, size,
    speed and length come from one distribution for both classes of a pair, so that only order tells these apart.
    """
    draws = Draws(seed, series, list(CLASSES).index(label))
    digit = digits[draws.between(0, len(digits) - 1)].astype(np.int32)
    count = 2 * draws.between(15, 25)
    background = _texture(draws)
    colour = np.array([draws.between(200, 250) for _ in range(3)], np.int32)
    make_motion, order = CLASSES[label]
    motion = make_motion(draws)
    for index in range(count):
        # Midpoints of equal parts: uniform over the clip, and over a period.
        time = (2 * order(index, count) + 1) * _CLIP // (2 * count)
        picture = _paint(background, digit, colour, motion(time))
        # Sum of two uniform bytes: triangular, up to about 12 grey levels.
        noise = draws.bytes(2 * WIDTH * HEIGHT).reshape(2, HEIGHT, WIDTH, 1).sum(axis=0, dtype=np.int16)
        yield np.clip(picture + (noise - 255) // 20, 0, 255).astype(np.uint8)


def _texture(draws: Draws) -> np.ndarray:
    """A smooth random colour texture [H, W, 3], 20…130, of two octaves."""
    total = np.zeros((HEIGHT, WIDTH, 3), np.int64)
    for rows, columns, weight in ((4, 5, 2), (12, 16, 1)):
        grid = draws.bytes(rows * columns * 3).astype(np.int64).reshape(rows, columns, 3)
        y = np.arange(HEIGHT) * (rows - 1) * _SUB // HEIGHT
        x = np.arange(WIDTH) * (columns - 1) * _SUB // WIDTH
        total += weight * _bilinear(grid, y, x)
    return (20 + total * 110 // (3 * 255)).astype(np.int16)


def _paint(background: np.ndarray, digit: np.ndarray, colour: np.ndarray, state: State) -> np.ndarray:
    """The background [H, W, 3] with the digit [8, 8] blended over it."""
    # One ring of zeros, so that strokes fade out at the border of the digit.
    ringed = np.pad(digit, 1)[:, :, None]
    picture = background.copy()
    rows, y = _cells(HEIGHT, state.y, state.side)
    columns, x = _cells(WIDTH, state.x, state.side)
    if not (len(rows) and len(columns)):
        return picture
    window = np.ix_(rows, columns)
    alpha = np.minimum(_bilinear(ringed, y, x) * 24, 256) * state.opacity // 256
    picture[window] += ((colour - picture[window]) * alpha // 256).astype(np.int16)
    return picture


def _cells(pixels: int, centre: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that the ringed digit covers along one axis, and where in it each falls (1/256 cell)."""
    offset = np.arange(pixels, dtype=np.int64) * _SUB + _SUB // 2 - centre
    place = offset * 8 * _SUB // side + 9 * _SUB // 2
    inside = np.flatnonzero((place >= 0) & (place < 9 * _SUB))
    return inside, place[inside]


def _bilinear(grid: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Values of ``grid`` [rows, columns, C] at y × x (1/256 cell), rounded down."""
    i, j = y // _SUB, x // _SUB
    v, u = (y % _SUB)[:, None, None], (x % _SUB)[None, :, None]
    upper = grid[i][:, j] * (_SUB - u) + grid[i][:, j + 1] * u
    lower = grid[i + 1][:, j] * (_SUB - u) + grid[i + 1][:, j + 1] * u
    return (upper * (_SUB - v) + lower * v) // (_SUB * _SUB)
