"""Plot of how well each layer of a network finds what it should, a line for each size of input and kind of code."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.report.sensitivity import COLOURS, MARKERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDEST_LABEL = 44  # letters of a legend that has two columns


@dataclass(frozen=True)
class LayerCurve:
    """One line: ``values[i]`` (a share in 0…1) belongs to ``layers[i]``. Curves of one ``family`` share a colour; of
    these the ``reduced`` one is dashed, with open markers."""

    family: str
    kind: str
    layers: Sequence[str]
    values: np.ndarray
    reduced: bool = False

    @property
    def name(self) -> str:
        """What the legend says."""
        return ", ".join(part for part in (self.family, self.kind) if part)


def layer_figure(curves: Sequence[LayerCurve], layers: Sequence[str], title: str = "") -> "Figure":
    """Mean average precision in percent over ``layers``, which come in the order of the network.

    A line has a gap where it has no value for a layer. UsageError for more families than there are colours.
    """
    from matplotlib.figure import Figure

    families = list(dict.fromkeys(curve.family for curve in curves))
    if len(families) > len(COLOURS):
        raise UsageError(
            f"{len(families)} kinds of codes are too many for one plot: {len(COLOURS)} can be told apart. Plot fewer."
        )
    columns = 2 if all(len(curve.name) <= _WIDEST_LABEL for curve in curves) else 1
    legend_rows = -(-len(curves) // columns)
    width = min(16.0, max(7.0, 1.5 + 0.42 * len(layers)))
    figure = Figure(figsize=(width, 4.6 + 0.21 * legend_rows), dpi=150, layout="constrained")
    panel = figure.subplots()
    place = {layer: number for number, layer in enumerate(layers)}
    for curve in curves:
        number = families.index(curve.family)
        values = np.full(len(layers), np.nan)
        values[[place[layer] for layer in curve.layers]] = 100 * np.asarray(curve.values)
        style = {"linestyle": "--", "markerfacecolor": "white"} if curve.reduced else {}
        panel.plot(
            range(len(layers)), values, color=COLOURS[number], marker=MARKERS[number], markersize=6, label=curve.name,
            **style,
        )  # fmt: skip
    panel.set_ylabel("Mean average precision (%)")
    panel.set_xlabel("Layer, from the input to the output")
    panel.set_xticks(range(len(layers)), layers, rotation=40, ha="right", rotation_mode="anchor")
    panel.set_xlim(-0.5, len(layers) - 0.5)
    if title:
        panel.set_title(title, loc="left", fontsize="medium")
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)
    handles, names = panel.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", frameon=False, ncols=columns, handlelength=3)
    return figure
