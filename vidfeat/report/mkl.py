"""Weights of pyramid nodes as trees of cells: a row for each level, a cell for each node."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vidfeat.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = "YlOrRd"  # warm is much; readable in grey too
_WRITTEN = 16  # nodes of a level whose weights have room for a number


@dataclass(frozen=True)
class WeightTree:
    """Weights of one pyramid."""

    name: str
    levels: Sequence[np.ndarray]  # level l: [2^(l−1)], in the order of time


def weight_trees_figure(trees: Sequence[WeightTree], columns: int = 1) -> "Figure":
    """All trees with one scale of colours, from 0 to the largest weight; ``columns`` side by side.

    A cell is as wide as its node's share of the video. As in Fig. 5 of A. Mazari, H. Sahbi, *Action Recognition with
    Deep Multiple Aggregation Networks*, 2020, warmer cells have more weight. UsageError without trees.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    if not trees or not all(len(tree.levels) for tree in trees):
        raise UsageError("There are no weights to draw.")
    rows = -(-len(trees) // columns)
    most = max(len(tree.levels) for tree in trees)
    width = 8.0 if columns == 1 else 4.6 * columns
    figure = Figure(figsize=(width, rows * (0.9 + 0.42 * most) + 0.3), dpi=150, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    top = max(float(np.max(level)) for tree in trees for level in tree.levels)
    colours = ScalarMappable(Normalize(0, top), _COLOURS)
    for panel, tree in zip(panels.flat, trees, strict=False):
        _draw(panel, tree, colours, numbers=columns == 1)
    for panel in panels.flat[len(trees) :]:
        panel.set_axis_off()
    figure.colorbar(colours, ax=panels, label="weight β of a node", aspect=12 * rows, fraction=0.05)
    return figure


def _draw(panel: "Axes", tree: WeightTree, colours, numbers: bool) -> None:
    from matplotlib.patches import Rectangle

    for row, level in enumerate(tree.levels):
        share = 1 / len(level)
        for k, weight in enumerate(level):
            colour = colours.to_rgba(weight)
            panel.add_patch(Rectangle((k * share, row), share, 1, facecolor=colour, edgecolor="0.6", linewidth=0.5))
            if numbers and len(level) <= _WRITTEN:
                dark = np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.5
                text = f"{weight:.2f}" if weight >= 0.005 else "0"
                panel.text(
                    (k + 0.5) * share, row + 0.5, text, ha="center", va="center", fontsize=7,
                    color="white" if dark else "0.2",
                )  # fmt: skip
    panel.set_xlim(0, 1)
    panel.set_ylim(len(tree.levels), 0)
    panel.set_yticks(np.arange(len(tree.levels)) + 0.5, [f"level {row + 1}" for row in range(len(tree.levels))])
    panel.set_xticks([0, 0.5, 1], ["start", "middle", "end"])
    panel.tick_params(length=0, labelsize=8)
    panel.set_title(tree.name, fontsize=9, parse_math=False)
    for spine in panel.spines.values():
        spine.set_visible(False)
