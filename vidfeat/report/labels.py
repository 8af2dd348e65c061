"""Words as pixels: single lines of text for pictures that are put together of others."""

import warnings
from typing import Literal

import numpy as np

BLACK, GREY = (0, 0, 0), (95, 95, 95)
_DPI = 72  # so that sizes of letters are in pixels
_SHORT = "…"


def text_line(
    text: str,
    width: int,
    *,
    size: int = 13,
    colour: tuple[int, int, int] = BLACK,
    align: Literal["left", "center"] = "left",
) -> np.ndarray:
    """One line on white, ``[1.5 · size, width, 3]`` uint8 RGB; what is too long loses its middle."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = round(1.5 * size)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    written = figure.text(
        0.5 if align == "center" else 0, 0.32, "", ha=align, fontsize=size, color=np.array(colour) / 255,
        parse_math=False,
    )  # fmt: skip
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)

    def fits(left_out: int) -> bool:
        written.set_text(_shortened(shown, left_out))
        return written.get_window_extent(canvas.get_renderer()).width <= width

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a box stands in its place
        low, high = 0, len(shown)  # of letters left out: too few, enough
        if not fits(0):
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if fits(middle) else (middle, high)
            fits(high)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _shortened(text: str, left_out: int) -> str:
    if not left_out:
        return text
    kept = len(text) - left_out
    return text[: (kept + 1) // 2].rstrip() + _SHORT + text[len(text) - kept // 2 :].lstrip()
