"""Plots of confusion matrices, classes and runs: what is drawn, and that it can be read."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from vidfeat.report.confusion import confusion_figure, short_name
from vidfeat.report.scores import ClassScores, RunFigures, classes_figure, difference_figure, runs_figure


def class_names(n):
    words = ("walk", "ApplyEyeMakeup", "$x_y", "PlayingAVeryLongNamedInstrument")
    return [f"{words[i % 4]}{i}" for i in range(n)]


def random_counts(n):
    return np.random.default_rng(0).integers(0, 9, size=(n, n)) + 20 * np.eye(n, dtype=int)


def drawn(figure):
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    return renderer


def extents(labels, renderer):
    return [label.get_window_extent(renderer) for label in labels if label.get_text()]


@pytest.mark.parametrize("n", [3, 14, 51, 101])
def test_names_in_a_confusion_matrix_do_not_touch(n):
    figure = confusion_figure(random_counts(n), class_names(n), "run")
    renderer = drawn(figure)
    panel = figure.axes[0]
    rows = extents(panel.get_yticklabels(), renderer)
    assert len(rows) == n
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(rows))
    inside = panel.get_window_extent(renderer)
    columns = extents(panel.get_xticklabels(), renderer)
    assert all(box.y1 <= inside.y0 + 1 for box in columns)  # below the matrix, not over it
    if n > 24:  # upright: boxes of slanted words overlap though the words do not
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(columns))
    page = figure.bbox.padded(0.5)
    for box in (*rows, *columns):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0


def test_cells_of_few_classes_have_shares_of_the_row_and_counts():
    counts = np.array([[3, 1, 0], [0, 0, 0], [0, 2, 2]])
    panel = confusion_figure(counts, ["a", "b", "c"], "$run$").axes[0]
    assert [text.get_text() for text in panel.texts] == ["75.0 %\n3", "25.0 %\n1", "50.0 %\n2", "50.0 %\n2"]
    assert [text.get_position() for text in panel.texts] == [(0, 0), (1, 0), (1, 2), (2, 2)]
    shown = panel.images[0].get_array()
    np.testing.assert_allclose(shown.filled(-1), [[75, 25, 0], [-1, -1, -1], [0, 50, 50]])
    assert [label.get_text() for label in panel.get_yticklabels()] == ["a (4)", "b (0)", "c (4)"]
    assert panel.get_title(loc="left") == "$run$"
    colours = [text.get_color() for text in panel.texts]
    assert colours[0] == "white" and colours[1] != "white"


def test_many_classes_have_no_numbers():
    assert len(confusion_figure(random_counts(14), class_names(14)).axes[0].texts) > 100
    assert not confusion_figure(random_counts(30), class_names(30)).axes[0].texts


def test_long_names_lose_their_middle():
    assert short_name("x" * 26) == "x" * 26
    assert short_name("a" * 20 + "b" * 20) == "a" * 12 + "…" + "b" * 12


def scores_of(*values, items=None):
    values = np.array(values, dtype=float)
    return ClassScores([f"c{i}" for i in range(len(values))], np.arange(5, 5 + len(values)), values)


def test_bars_are_sorted_and_have_the_mean():
    figure = classes_figure(scores_of(0.2, np.nan, 0.9, 0.05), heading="run")
    panel = figure.axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["c2 (7)", "c0 (5)", "c3 (8)", "c1 (6)"]
    np.testing.assert_allclose([bar.get_width() for bar in panel.patches], [90, 20, 5, np.nan])
    assert [text.get_text() for text in panel.texts] == ["90", "20", "5", "no items"]
    assert panel.lines[0].get_xdata()[0] == pytest.approx(100 * np.mean([0.2, 0.9, 0.05]))
    assert figure.legends[0].get_texts()[0].get_text() == "mean over classes: 38.3 %"
    low, high = panel.get_ylim()
    assert low > high  # the first bar is the uppermost


def test_differences_are_sorted_with_gains_above():
    first, second = scores_of(0.5, 0.2, 0.9, np.nan), scores_of(0.4, 0.6, 0.9, np.nan)
    intervals = np.array([[-0.3, 0.1], [0.2, 0.7], [np.nan, np.nan], [np.nan, np.nan]])
    figure = difference_figure(first, second, ("one", "two"), intervals)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["c1 (6)", "c2 (7)", "c0 (5)", "c3 (8)"]
    np.testing.assert_allclose([bar.get_width() for bar in right.patches], [40, 0, -10, np.nan])
    assert right.patches[0].get_facecolor() != right.patches[2].get_facecolor()
    segments = right.collections[0].get_segments()
    assert [20, 70] in [np.round(segment[:, 0]).tolist() for segment in segments if segment.ndim == 2]
    assert right.get_xlim() == (-73.5, 73.5)  # symmetric, and no interval is cut off
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["one", "two", "two better", "one better", "95 % interval of the difference"]
    bare = difference_figure(first, second, ("one", "two"), np.full((4, 2), np.nan))
    assert len(bare.legends[0].get_texts()) == 4


@pytest.mark.parametrize("n", [3, 101])
def test_names_of_bars_do_not_touch(n):
    values = np.random.default_rng(0).random((2, n))
    pair = [ClassScores(class_names(n), np.arange(n), row) for row in values]
    intervals = np.column_stack([values[1] - values[0] - 0.1, values[1] - values[0] + 0.1])
    for figure in (classes_figure(pair[0]), difference_figure(*pair, ("one", "two"), intervals)):
        renderer = drawn(figure)
        boxes = extents(figure.axes[0].get_yticklabels(), renderer)
        assert len(boxes) == n
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
        assert min(box.x0 for box in boxes) >= 0
        legend = figure.legends[0].get_window_extent(renderer)
        assert not any(legend.overlaps(panel.get_tightbbox(renderer)) for panel in figure.axes)


def test_runs_are_rows_and_their_spread_is_one_more():
    values = {"accuracy": 0.5, "mean_per_class_accuracy": 0.4, "map": 0.6}
    ends = dict.fromkeys(values, (0.3, 0.7))
    figure = runs_figure(
        [RunFigures("one", values, ends), RunFigures("$two", values, {})], dict.fromkeys(values, (0.5, 0.1))
    )
    assert len(figure.axes) == 3
    panel = figure.axes[2]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["one", "$two", "mean"]
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in panel.lines if line.get_marker() == "o"]
    assert points == [(60, 0), (60, 1)]
    assert panel.collections[0].get_segments()[0][:, 0].tolist() == pytest.approx([30, 70])
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["run, 95 % interval (groups resampled)", "mean ± standard deviation over the runs"]
    assert not runs_figure([RunFigures("one", values, {})]).legends


@pytest.mark.parametrize(("value", "ends"), [(0.0, (-2, 5)), (0.5, (45, 55)), (1.0, (94.5, 102))])
def test_the_scale_of_equal_runs_is_no_narrower_than_ten_points_and_has_none_that_cannot_be(value, ends):
    values = dict.fromkeys(("accuracy", "mean_per_class_accuracy", "map"), value)
    figure = runs_figure([RunFigures("one", values, {}), RunFigures("two", values, {})])
    assert all(panel.get_xlim() == pytest.approx(ends) for panel in figure.axes)
