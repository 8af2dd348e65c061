"""Weights of nodes as trees: a cell for each node, warm where there is much."""

import io

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from vidfeat.errors import UsageError
from vidfeat.report.mkl import WeightTree, weight_trees_figure

LEVELS = [np.array([0.1]), np.array([0.0, 0.2]), np.array([0.0, 0.0, 0.7, 0.0])]


def cells(panel):
    return [patch for patch in panel.patches if isinstance(patch, Rectangle)]


def test_rows_are_levels_and_cells_are_nodes_as_wide_as_their_share():
    figure = weight_trees_figure([WeightTree("rgb", LEVELS), WeightTree("flow", LEVELS[:2])])
    rgb, flow = figure.axes[:2]
    assert (len(cells(rgb)), len(cells(flow))) == (7, 3)
    places = [(cell.get_x(), cell.get_y(), cell.get_width()) for cell in cells(rgb)]
    assert places == [
        (0, 0, 1),
        (0, 1, 0.5),
        (0.5, 1, 0.5),
        (0, 2, 0.25),
        (0.25, 2, 0.25),
        (0.5, 2, 0.25),
        (0.75, 2, 0.25),
    ]
    assert rgb.get_ylim() == (3, 0)  # level 1 on top
    assert [text.get_text() for text in rgb.texts] == ["0.10", "0", "0.20", "0", "0", "0.70", "0"]
    assert [panel.get_title() for panel in (rgb, flow)] == ["rgb", "flow"]


def test_more_weight_is_a_warmer_colour_on_one_scale_for_all_trees():
    figure = weight_trees_figure([WeightTree("rgb", LEVELS), WeightTree("flow", [np.array([0.35])])])
    green = [cell.get_facecolor()[1] for cell in cells(figure.axes[0])]
    order = np.argsort([0.1, 0.0, 0.2, 0.0, 0.0, 0.7, 0.0], kind="stable")
    assert (np.diff(np.array(green)[order]) <= 0).all() and green[5] < green[2] < green[0] < green[1]
    assert green[5] < cells(figure.axes[1])[0].get_facecolor()[1] < green[2]
    assert figure.axes[2].get_ylabel() == "weight β of a node"


def test_many_trees_stand_in_columns_and_are_a_picture():
    figure = weight_trees_figure([WeightTree(f"class {number} $x", LEVELS) for number in range(4)], columns=3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    assert picture.getvalue().startswith(b"\x89PNG")
    assert sum(bool(panel.patches) for panel in figure.axes[:6]) == 4


def test_no_weights_are_refused():
    with pytest.raises(UsageError, match="There are no weights to draw"):
        weight_trees_figure([])
