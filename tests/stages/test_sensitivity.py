"""The plot over the C of rank pooling: what is drawn, and the words of errors."""

import itertools
import json

import numpy as np
import pytest

from vidfeat.errors import UsageError
from vidfeat.report.sensitivity import COLOURS, Curve, sensitivity_figure
from vidfeat.stages import sensitivity
from vidfeat.stages.config.sensitivity import SensitivityConfig

C = [0.01, 1.0, 100.0]
FIRST_BYTES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF", ".PNG": b"\x89PNG"}


def entry(value, number, **other):
    row = {"set": f"C={value or 0:g}", "C": value, "svm_C": 1.0, "cv_accuracy": 0.5 + 0.1 * number}
    row |= {"test_accuracy": 0.6 + 0.1 * number, "interval95": [0.5 + 0.1 * number, 0.7 + 0.1 * number]}
    return {**row, "order_error_mean": 0.3 - 0.1 * number, **other}


def write_run(folder, rows=None, measure="accuracy", **other):
    rows = [entry(value, number) for number, value in enumerate(C)] if rows is None else rows
    rows = [{name.replace("accuracy", measure): value for name, value in row.items()} for row in rows]
    content = {"measure": measure, "split": "split1", "chosen": "C=100", "sets": rows, **other}
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    (folder / "sensitivity.json").write_text(json.dumps(content))
    return folder


def curve(name="R", **other):
    n = len(C)
    arrays = {key: np.linspace(0.5, 0.9, n) for key in ("validation", "test")}
    interval = np.column_stack([np.linspace(0.4, 0.8, n), np.linspace(0.6, 1.0, n)])
    facts = {"C": np.array(C), **arrays, "interval": interval, "order_error": np.linspace(0.3, 0.1, n), "chosen": 1.0}
    return Curve(name, **{**facts, **other})


def texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_the_file_of_a_run_becomes_a_curve_in_the_order_of_c(tmp_path):
    rows = [entry(100.0, 2, interval95=None, order_error_mean=None), entry(0.01, 0), entry(1.0, 1)]
    found = sensitivity.curve_of("R", sensitivity.read_sensitivity(write_run(tmp_path / "R", rows)))
    np.testing.assert_allclose(found.C, C)
    np.testing.assert_allclose(found.validation, [0.5, 0.6, 0.7])
    np.testing.assert_allclose(found.test, [0.6, 0.7, 0.8])
    np.testing.assert_allclose(found.interval, [[0.5, 0.7], [0.6, 0.8], [np.nan, np.nan]])
    np.testing.assert_allclose(found.order_error, [0.3, 0.2, np.nan])
    assert found.chosen == 100.0


def test_the_figure_shows_the_numbers_in_percent():
    figure = sensitivity_figure([curve(), curve("other", chosen=100.0)])
    above, below = figure.axes
    assert (above.get_ylabel(), below.get_ylabel()) == ("Accuracy (%)", "Temporal order error\n(% of frame pairs)")
    assert below.get_xlabel() == "C of rank pooling (log scale)"
    assert (above.get_xscale(), below.get_xscale()) == ("log", "log")
    drawn = [line for line in above.lines if len(line.get_xdata()) == 3]
    assert [line.get_linestyle() for line in drawn] == ["-", "--", "-", "--"]
    for line in drawn:
        np.testing.assert_allclose(line.get_xdata(), C)
        np.testing.assert_allclose(line.get_ydata(), [50, 70, 90])
    assert [line.get_color() for line in drawn] == [COLOURS[0], COLOURS[0], COLOURS[1], COLOURS[1]]
    rings = [line for line in above.lines if line.get_markersize() > 10]
    assert [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in rings] == [
        ([1.0], [70.0]),
        ([100.0], [90.0]),
    ]
    band = above.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (40, 100)
    for number, chosen in enumerate((1.0, 100.0)):
        assert any(
            line.get_color() == COLOURS[number] and list(line.get_xdata()) == [chosen] * 2 for line in below.lines
        )
    np.testing.assert_allclose(below.lines[0].get_ydata(), [30, 20, 10])
    assert below.get_ylim()[0] < 0 < 30 < below.get_ylim()[1]
    assert below.get_xlim()[0] < 0.01 < 100 < below.get_xlim()[1]
    assert texts(figure) == [
        "R: C = 1 chosen", "other: C = 100 chosen", "test (for looking only)", "cross-validation (chooses C)",
        "95 % interval of test", "chosen C",
    ]  # fmt: skip


def test_what_is_not_known_is_not_drawn():
    nothing = np.full(3, np.nan)
    bare = curve("R", interval=np.full((3, 2), np.nan), order_error=nothing, chosen=None)
    figure = sensitivity_figure([bare], "map")
    (panel,) = figure.axes
    assert panel.get_ylabel() == "Mean average precision (%)"
    assert texts(figure) == ["R", "test (for looking only)", "cross-validation (chooses C)"]


@pytest.mark.parametrize("curves", [[curve()], [curve("a run with a long name " * 9), curve(C=np.array([1, 1.5, 2]))]])
def test_nothing_is_clipped(curves):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = sensitivity_figure(curves)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    page = figure.bbox.padded(0.5)
    boxes = [panel.get_tightbbox(renderer) for panel in figure.axes]
    boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
    for box in boxes:
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("suffix", FIRST_BYTES)
def test_pictures_are_written_in_the_format_of_the_suffix(tmp_path, suffix):
    folders = [write_run(tmp_path / "one"), write_run(tmp_path / "two", chosen="default")]
    output = tmp_path / f"C{suffix}"
    facts = sensitivity.run(SensitivityConfig(runs=folders, output=output)).as_dict()
    assert output.read_bytes().startswith(FIRST_BYTES[suffix])
    assert facts == {
        "output": str(output),
        "runs": [
            {"run": "one", "values of C": 3, "chosen C": 100.0},
            {"run": "two", "values of C": 3, "chosen C": None},
        ],
    }


def test_runs_of_one_name_are_told_by_their_paths(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    folders = [write_run(tmp_path / name / "RUN") for name in "ab"]
    assert sensitivity.names_of(folders) == [str(folder) for folder in folders]
    assert sensitivity.names_of(folders[:1]) == ["RUN"]


def test_sets_without_c_are_left_out_and_said(tmp_path, caplog):
    rows = [entry(1.0, 0), entry(None, 1, set="default")]
    found = sensitivity.curve_of("R", sensitivity.read_sensitivity(write_run(tmp_path / "R", rows)))
    assert found.C.tolist() == [1.0]
    assert "R: the sets default have no C and are not in the plot" in caplog.text


@pytest.mark.parametrize("name", ["C.jpg", "C", "C.csv"])
def test_other_formats_are_refused(name):
    with pytest.raises(UsageError, match=r"C.*; allowed are \.png, \.svg, \.pdf"):
        SensitivityConfig(runs=[], output=sensitivity.Path(name))


def test_runs_that_cannot_be_plotted_are_refused(tmp_path):
    out = tmp_path / "C.png"

    def plot(*folders, output=out):
        sensitivity.run(SensitivityConfig(runs=list(folders), output=output))

    good = write_run(tmp_path / "good")
    with pytest.raises(UsageError, match="is not a run"):
        plot(tmp_path)
    (tmp_path / "single").mkdir()
    (tmp_path / "single" / "model.json").write_text("{}")
    with pytest.raises(UsageError, match=r"single has no sensitivity\.json, as it was trained on one set of codes"):
        plot(tmp_path / "single")
    with pytest.raises(UsageError, match="none of the sets default is named after a C"):
        plot(write_run(tmp_path / "named", [entry(None, 0, set="default")]))
    with pytest.raises(UsageError, match="different measures"):
        plot(good, write_run(tmp_path / "map", measure="map"))
    with pytest.raises(UsageError, match="8 runs are too many for one plot: 7 can be told apart"):
        plot(*[good] * 8)
    with pytest.raises(UsageError, match=r"The folder .* does not exist"):
        plot(good, output=tmp_path / "no" / "C.png")
    (tmp_path / "D.png").mkdir()
    with pytest.raises(UsageError, match="is a folder; give the name of a picture"):
        plot(good, output=tmp_path / "D.png")
    (good / "sensitivity.json").write_text("{}")
    with pytest.raises(UsageError, match=r"sensitivity\.json is not what 'vidfeat svm train' writes"):
        plot(good)
    assert not out.exists()
