"""Plot of a confusion matrix."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COUNTED, _WRITTEN = 8, 24  # classes, at most, for which cells also have counts, or shares
_LETTERS = 26  # of a class name that are shown


def confusion_figure(counts, classes: Sequence[str], heading: str = "") -> "Figure":
    """Rows are true classes, columns predicted ones; a cell is its share of the row, in percent.

    Few classes have the numbers in the cells, many have only the shade. A class without items has a row of grey.

    Args:
        counts: ``[classes, classes]`` of :func:`vidfeat.metrics.confusion`.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    counts = np.asarray(counts)
    n = len(classes)
    items = counts.sum(axis=1)
    shares = np.where(items[:, None] > 0, 100 * counts / np.maximum(items, 1)[:, None], np.nan)
    cell = 0.85 if n <= _COUNTED else 0.42 if n <= _WRITTEN else max(0.115, 0.42 * _WRITTEN / n)
    letters = {True: 10, False: 8.5}[n <= _COUNTED] if n <= _WRITTEN else max(5.0, 58 * cell)
    margin = 0.011 * letters * min(_LETTERS, max(len(name) for name in classes)) + 0.6
    figure = Figure(figsize=(n * cell + margin + 1.1, n * cell + margin + 0.5), dpi=150, layout="constrained")
    panel = figure.subplots()
    panel.set_facecolor("0.88")
    # Of many classes each is taken for many others, a little: the square root lets that be seen.
    norm = PowerNorm(1.0 if n <= _WRITTEN else 0.5, vmin=0, vmax=100)
    image = panel.imshow(shares, cmap="Blues", norm=norm, interpolation="nearest")
    _draw_names(panel, classes, items, letters)
    if n <= _WRITTEN:
        _write_cells(panel, shares, counts if n <= _COUNTED else None, letters)
        panel.set_xticks(np.arange(1, n) - 0.5, minor=True)
        panel.set_yticks(np.arange(1, n) - 0.5, minor=True)
        panel.grid(which="minor", color="white", linewidth=1.5)
    panel.tick_params(which="both", length=0)
    panel.spines[:].set_visible(n > _WRITTEN)
    panel.spines[:].set_color("0.7")
    words = 10 if n <= _WRITTEN else 13
    panel.set_xlabel("Predicted class", fontsize=words)
    panel.set_ylabel("True class (items)", fontsize=words)
    panel.set_title(heading, fontsize=words, loc="left", parse_math=False)
    side = n * cell
    beside = panel.inset_axes([1 + 0.15 / side, 0, 0.16 / side, min(1.0, 3.2 / side)])
    bar = figure.colorbar(image, cax=beside)
    bar.set_label("Share of the items of the true class (%)", fontsize=words - 1)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=words - 1, length=2)
    return figure


def _draw_names(panel: "Axes", classes: Sequence[str], items: np.ndarray, letters: float) -> None:
    names = [short_name(name) for name in classes]
    rows = [f"{name} ({count})" for name, count in zip(names, items, strict=True)]
    if len(names) > _WRITTEN:
        look = {"rotation": 90}
    elif max(map(len, names)) > 7:
        look = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    else:
        look = {}
    panel.set_xticks(range(len(names)), names, fontsize=letters, parse_math=False, **look)
    panel.set_yticks(range(len(names)), rows, fontsize=letters, parse_math=False)


def _write_cells(panel: "Axes", shares: np.ndarray, counts: np.ndarray | None, letters: float) -> None:
    """The share in every cell that has one, and below it the count."""
    for row, column in np.argwhere(np.nan_to_num(shares) > 0):
        share = shares[row, column]
        text = "<1" if 0 < share < 0.5 else f"{share:.0f}"
        if counts is not None:
            text = f"{share:.1f} %\n{counts[row, column]}"
        panel.text(
            column, row, text, ha="center", va="center", fontsize=letters, color="white" if share > 55 else "0.15"
        )


def short_name(name: str, most: int = _LETTERS) -> str:
    """A name with its middle left out if it is long."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"
