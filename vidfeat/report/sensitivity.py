"""Plot of how accuracy and temporal order error depend on the C of rank pooling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vidfeat.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# M. Okabe, K. Ito, *Color Universal Design*, 2008, without yellow, which is faint on white; a shape with each, as seven
# curves are hard to tell by colour alone.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_RING = {"marker": "o", "markersize": 13, "markerfacecolor": "none", "markeredgewidth": 1.5}
MEASURES = {"accuracy": "Accuracy (%)", "map": "Mean average precision (%)"}


@dataclass(frozen=True)
class Curve:
    """What one run gives at each C; all arrays ``[n]`` are shares in 0…1, NaN where there is none."""

    name: str
    C: np.ndarray  # increasing, above 0
    validation: np.ndarray  # by cross-validation, which chooses
    test: np.ndarray
    interval: np.ndarray  # [n, 2], 95 % interval of ``test``
    order_error: np.ndarray
    chosen: float | None  # None if a set that has no C was chosen


def sensitivity_figure(curves: Sequence[Curve], measure: str = "accuracy") -> "Figure":
    """Above accuracy (test solid, cross-validation dashed), below temporal order error, over C on a log axis.

    The panel below is left out if no curve has an order error. ``measure`` is a key of ``MEASURES``. UsageError for
    more curves than there are colours.
    """
    from matplotlib.figure import Figure

    if len(curves) > len(COLOURS):
        raise UsageError(f"{len(curves)} runs are too many for one plot: {len(COLOURS)} can be told apart. Plot fewer.")
    with_errors = any(np.isfinite(curve.order_error).any() for curve in curves)
    heights = [3, 2] if with_errors else [1]
    columns = 2 if all(len(_label(curve)) <= 36 for curve in curves) else 1
    legend_rows = -(-len(curves) // columns)
    height = (6.8 if with_errors else 4.8) + 0.21 * legend_rows
    figure = Figure(figsize=(7.0, height), dpi=150, layout="constrained")
    panels = list(figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0])
    for number, curve in enumerate(curves):
        look = _look(number)
        _draw_scores(panels[0], curve, look)
        if with_errors:
            panels[1].plot(curve.C, 100 * curve.order_error, **look)
        if curve.chosen is not None:
            for panel in panels:
                panel.axvline(curve.chosen, color=look["color"], linestyle=":", linewidth=1.5, zorder=0)
    panels[0].set_ylabel(MEASURES[measure])
    if with_errors:
        panels[1].set_ylabel("Temporal order error\n(% of frame pairs)")
        panels[1].set_ylim(bottom=-0.05 * panels[1].get_ylim()[1])  # from 0, with room for a marker there
    for panel in panels:
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    _draw_x_axis(panels[-1], np.unique(np.concatenate([curve.C for curve in curves])))
    _draw_legends(figure, curves, columns)
    return figure


def _look(number: int) -> dict:
    """How the curve of that number is drawn."""
    return {"color": COLOURS[number], "marker": MARKERS[number], "markersize": 6}


def _draw_scores(panel: "Axes", curve: Curve, look: dict) -> None:
    low, high = 100 * curve.interval.T
    panel.fill_between(curve.C, low, high, color=look["color"], alpha=0.15, linewidth=0)
    panel.plot(curve.C, 100 * curve.test, **look)
    panel.plot(curve.C, 100 * curve.validation, **look, linestyle="--", markerfacecolor="white")
    at = curve.chosen == curve.C
    panel.plot(curve.C[at], 100 * curve.validation[at], linestyle="none", color=look["color"], **_RING)


def _draw_x_axis(panel: "Axes", values: np.ndarray) -> None:
    from matplotlib.ticker import NullLocator

    panel.set_xscale("log")
    panel.set_xlabel("C of rank pooling (log scale)")
    low, high = values[0], values[-1]
    pad = max((high / low) ** 0.04, 1.05)
    panel.set_xlim(low / pad, high * pad)
    if high < 100 * low and len(values) <= 8:  # too few powers of ten to read the axis by
        panel.set_xticks(values)
        panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(lambda value, place: f"{value:g}")


def _draw_legends(figure: "Figure", curves: Sequence[Curve], columns: int) -> None:
    """Above the panels the runs, below them what the line styles mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    runs = [Line2D([], [], **_look(number)) for number in range(len(curves))]
    figure.legend(runs, [_label(curve) for curve in curves], loc="outside upper center", frameon=False, ncols=columns)

    grey = {"color": "0.35", "linewidth": 1.5}
    meanings = {
        "test (for looking only)": Line2D([], [], marker="o", **grey),
        "cross-validation (chooses C)": Line2D([], [], marker="o", markerfacecolor="white", linestyle="--", **grey),
    }
    if any(np.isfinite(curve.interval).any() for curve in curves):
        meanings["95 % interval of test"] = Patch(color=grey["color"], alpha=0.2, linewidth=0)
    if any(curve.chosen is not None for curve in curves):
        meanings["chosen C"] = Line2D([], [], linestyle=":", **_RING, **grey)
    figure.legend(list(meanings.values()), list(meanings), loc="outside lower center", frameon=False, ncols=2)


def _label(curve: Curve) -> str:
    name = curve.name if len(curve.name) <= 60 else f"{curve.name[:28]} … {curve.name[-28:]}"
    return name if curve.chosen is None else f"{name}: C = {curve.chosen:g} chosen"
