"""Plots of how well classes are told apart, and of runs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vidfeat.report.confusion import short_name
from vidfeat.report.sensitivity import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = {
    "accuracy": "Accuracy (%)",
    "mean_per_class_accuracy": "Mean per-class accuracy (%)",
    "map": "Mean average precision (%)",
}
CLASS_MEASURES = {"accuracy": "Accuracy of the class (%)", "ap": "Average precision (%)"}
_FIRST, _SECOND = COLOURS[0], COLOURS[1]
_GREY = "0.35"


@dataclass(frozen=True)
class ClassScores:
    """One value of each class, shares in 0…1 and NaN where there is none; all arrays ``[classes]``."""

    classes: Sequence[str]
    items: np.ndarray  # number of test items
    values: np.ndarray


def classes_figure(scores: ClassScores, measure: str = "accuracy", heading: str = "") -> "Figure":
    """A bar for each class, the best above, with the number of items; a line for the mean.

    ``measure`` is a key of ``CLASS_MEASURES``.
    """
    order = np.argsort(-np.nan_to_num(scores.values, nan=-1), kind="stable")
    figure, (panel,) = _figure(len(order), 1, 6.4)
    values = 100 * scores.values[order]
    panel.barh(range(len(order)), values, height=0.72, color=_FIRST)
    for row, value in enumerate(values):
        inside = value > 12
        text = "no items" if np.isnan(value) else f"{value:.0f}"
        place, colour = (1, "white") if inside else (np.nan_to_num(value) + 1, _GREY)
        panel.text(place, row, text, va="center_baseline", fontsize=_letters(len(order)), color=colour)
    mean = np.nanmean(values)
    panel.axvline(mean, color=_SECOND, linestyle="--", linewidth=1.3, label=f"mean over classes: {mean:.1f} %")
    panel.set_xlim(0, 101)
    _draw_classes(panel, scores, order)
    panel.set_xlabel(CLASS_MEASURES[measure])
    panel.set_title(heading, loc="left", fontsize=11, parse_math=False)
    figure.legend(loc="outside upper right", frameon=False, fontsize=9)
    return figure


def difference_figure(
    first: ClassScores, second: ClassScores, names: tuple[str, str], intervals: np.ndarray, measure: str = "accuracy"
) -> "Figure":
    """Left both values of each class, right second − first as bars, the largest gain above.

    Args:
        first, second: of the same classes.
        intervals: ``[classes, 2]``, 95 % interval of the difference, NaN where there is none.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    difference = 100 * (second.values - first.values)
    order = np.argsort(-np.where(np.isnan(difference), -np.inf, difference), kind="stable")
    figure, (left, right) = _figure(len(order), 2, 9.5)
    rows = np.arange(len(order))
    ours, theirs, difference = 100 * first.values[order], 100 * second.values[order], difference[order]
    left.hlines(rows, np.fmin(ours, theirs), np.fmax(ours, theirs), color="0.75", linewidth=2, zorder=1)
    size = 36 if len(rows) <= 30 else 16
    left.scatter(ours, rows, s=size, color=_FIRST, marker="o", zorder=2)
    left.scatter(theirs, rows, s=size, color=_SECOND, marker="s", zorder=3)
    left.set_xlim(-3, 103)
    left.set_xlabel(CLASS_MEASURES[measure])
    _draw_classes(left, first, order)
    colours = [_SECOND if value > 0 else _FIRST for value in difference]
    right.barh(rows, difference, height=0.72, color=colours, alpha=0.75)
    low, high = 100 * intervals[order].T
    right.hlines(rows, low, high, color="0.15", linewidth=1.1)
    right.axvline(0, color=_GREY, linewidth=1)
    right.set_xlabel("Difference (percentage points)")
    reach = 1.05 * max(5.0, *np.abs(np.nan_to_num(np.concatenate([difference, low, high]))))
    right.set_xlim(-reach, reach)
    right.tick_params(left=False, labelleft=False)
    shown = [short_name(name, 40) for name in names]
    marks = [
        Line2D([], [], marker=marker, color=colour, linestyle="none", markersize=6)
        for marker, colour in (("o", _FIRST), ("s", _SECOND))
    ]
    words = list(shown)
    marks += [Patch(color=_SECOND, alpha=0.75, linewidth=0), Patch(color=_FIRST, alpha=0.75, linewidth=0)]
    words += [f"{shown[1]} better", f"{shown[0]} better"]
    if np.isfinite(intervals).any():
        marks.append(Line2D([], [], color="0.15", linewidth=1.1))
        words.append("95 % interval of the difference")
    figure.legend(marks, words, loc="outside upper center", frameon=False, ncols=3, fontsize=9)
    return figure


@dataclass(frozen=True)
class RunFigures:
    """The figures of one run by measure: value, and 95 % interval or None; shares in 0…1."""

    name: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float] | None]


def runs_figure(runs: Sequence[RunFigures], spread: dict[str, tuple[float, float]] | None = None) -> "Figure":
    """A row for each run and a panel for each measure; ``spread`` (mean, standard deviation) is one row more below."""
    from matplotlib.lines import Line2D

    n = len(runs) + (spread is not None)
    figure, panels = _figure(n, len(MEASURES), 10.5, row=0.34)
    for panel, (measure, words) in zip(panels, MEASURES.items(), strict=True):
        for row, run in enumerate(runs):
            if run.intervals.get(measure):
                panel.hlines(row, *(100 * np.array(run.intervals[measure])), color=_FIRST, linewidth=2, alpha=0.45)
            panel.plot(100 * run.values[measure], row, marker="o", markersize=6, color=_FIRST, linestyle="none")
        if spread is not None:
            mean, deviation = spread[measure]
            panel.axhline(len(runs) - 0.5, color="0.75", linewidth=0.8)
            panel.errorbar(
                100 * mean, len(runs), xerr=100 * deviation, color=_SECOND, marker="D", markersize=6, capsize=3
            )
        low, high = panel.get_xlim()
        middle, reach = (low + high) / 2, max((high - low) / 2, 5)  # equal runs must not look far apart
        panel.set_xlim(max(middle - reach, -2), min(middle + reach, 102))
        panel.set_ylim(n - 0.5, -0.5)
        panel.set_xlabel(words)
        panel.tick_params(left=False, labelleft=panel is panels[0])
    names = [short_name(run.name, 44) for run in runs] + (["mean"] if spread is not None else [])
    panels[0].set_yticks(range(n), names, parse_math=False)
    meanings = []
    if any(interval for run in runs for interval in run.intervals.values()):
        look = {"color": _FIRST, "marker": "o", "linewidth": 2, "markersize": 6}
        meanings.append((Line2D([], [], **look), "run, 95 % interval (groups resampled)"))
    if spread is not None:
        look = {"color": _SECOND, "marker": "D", "linewidth": 1.5, "markersize": 6}
        meanings.append((Line2D([], [], **look), "mean ± standard deviation over the runs"))
    if meanings:
        figure.legend(*zip(*meanings, strict=True), loc="outside upper center", frameon=False, ncols=2, fontsize=9)
    return figure


def _letters(n_rows: int) -> float:
    return 9.0 if n_rows <= 30 else 7.0


def _figure(n_rows: int, columns: int, width: float, row: float = 0.3) -> tuple["Figure", list["Axes"]]:
    """Panels side by side that share their rows, tall enough for all of them."""
    from matplotlib.figure import Figure

    height = 1.25 + n_rows * (row if n_rows <= 30 else 0.155)
    figure = Figure(figsize=(width, max(height, 2.2)), dpi=150, layout="constrained")
    panels = list(figure.subplots(1, columns, sharey=True, squeeze=False)[0])
    for panel in panels:
        panel.grid(axis="x", alpha=0.3)
        panel.set_axisbelow(True)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
    return figure, panels


def _draw_classes(panel: "Axes", scores: ClassScores, order: np.ndarray) -> None:
    names = [f"{short_name(scores.classes[c])} ({scores.items[c]})" for c in order]
    panel.set_yticks(range(len(order)), names, fontsize=_letters(len(order)), parse_math=False)
    panel.set_ylim(len(order) - 0.4, -0.6)
