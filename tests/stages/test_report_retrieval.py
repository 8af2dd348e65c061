"""Searches with codes of several layers in one table and plot: what is drawn, and the words of errors."""

import itertools
import json

import numpy as np
import pytest

from vidfeat.errors import UsageError
from vidfeat.report.retrieval import LayerCurve, layer_figure
from vidfeat.report.sensitivity import COLOURS
from vidfeat.stages import report_retrieval, retrieve
from vidfeat.stages.config.retrieval_report import RetrievalReportConfig
from vidfeat.stages.config.retrieve import RetrieveConfig
from vidfeat.stages.retrieval_results import read_searched
from vidfeat.store import CodesWriter

FIRST_BYTES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def found(folder, feature="conv5", *, encode=None, map=0.5, dimension=64, backbone="alexnet", queries="ab", **other):
    """A folder as ``vidfeat retrieve`` writes it, as far as it is read."""
    provenance = {"features": {"backbone": backbone, "size": 224}, "feature": feature}
    content = {
        "protocol": "labels", "metric": "l2", "n_database": 7, "dimension": dimension, "map": map,
        "recall": {"1": 0.1}, "hit": {"1": 0.9}, "queries": [{"query": name} for name in queries],
        "provenance": {**provenance, "encode": encode or {"method": "vlad"}}, **other,
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def report(folders, output):
    return report_retrieval.run(RetrievalReportConfig(found=folders, output=output, overwrite=True)).facts


def test_what_retrieve_writes_is_read(tmp_path):
    random = np.random.default_rng(0)
    provenance = {
        "features": {"backbone": "vgg16", "size": 224}, "feature": "conv5_3,conv5_3@448",
        "encode": {"method": "vlad", "norm": "ssr", "per": "frame", "pyramid": 1, "reduce": "/pca.h5"},
    }  # fmt: skip
    with CodesWriter(tmp_path / "codes.h5", provenance) as writer:
        for number in range(6):
            writer.append(f"i{number}", {"default": random.standard_normal(5)}, ("xy"[number % 2],))
    asked = RetrieveConfig(codes=tmp_path / "codes.h5", protocol="labels", metric="cosine", output=tmp_path / "OUT")
    facts = retrieve.run(asked).as_dict()
    one = read_searched(tmp_path / "OUT", "OUT")
    assert (one.network, one.layer, one.input) == ("vgg16", "conv5_3", "224+448")
    assert (one.method, one.reduced, one.dimension) == ("vlad (ssr, per frame, cosine)", True, 5)
    assert (one.map, one.recall, one.hit) == (facts["map"], facts["recall"]["1"], facts["hit"]["1"])
    assert one.task == ("6 queries against 6 items, protocol labels", tuple(f"i{number}" for number in range(6)))


@pytest.mark.parametrize(
    ("feature", "encode", "layer", "size", "method"),
    [
        ("code.inception_4a@448.vlad", {"method": "avg"}, "inception_4a", "448", "vlad"),
        ("code.features.3.fv", {"method": "avg"}, "features.3", "224", "fv"),
        ("flow.fc7", {"method": "rankpool", "direction": "both"}, "flow.fc7", "224", "rankpool (both)"),
        ("fc6,fc7", {"method": "bow", "pyramid": 2}, "fc6+fc7", "224", "bow (pyramid of 2)"),
    ],
)
def test_names_of_features_say_layer_input_and_codes(tmp_path, feature, encode, layer, size, method):
    one = read_searched(found(tmp_path / "OUT", feature, encode=encode), "OUT")
    assert (one.layer, one.input, one.method, one.reduced) == (layer, size, method, False)


def test_the_table_is_in_the_order_of_the_network(tmp_path):
    given = [("fc7", 0.4, False), ("conv5@448", 0.3, False), ("conv5", 0.2, True), ("conv5", 0.1, False),
             ("mine", 0.6, False), ("conv1:pre", 0.5, False)]  # fmt: skip
    folders = [
        found(tmp_path / str(number), name, map=value, encode={"method": "vlad", **({"reduce": "p"} if small else {})})
        for number, (name, value, small) in enumerate(given)
    ]
    facts = report(folders, tmp_path / "l.svg")
    assert facts["layers"] == ["conv1:pre", "conv5", "fc7", "mine"]
    rows = [(row["name"], row["layer"], row["input"], row["reduced"], row["map"]) for row in facts["results"]]
    assert rows == [
        ("5", "conv1:pre", "224", False, 0.5), ("3", "conv5", "224", False, 0.1), ("2", "conv5", "224", True, 0.2),
        ("1", "conv5", "448", False, 0.3), ("0", "fc7", "224", False, 0.4), ("4", "mine", "224", False, 0.6),
    ]  # fmt: skip
    assert "task" not in facts["results"][0]


def test_networks_nobody_knows_keep_the_order_that_was_given(tmp_path, caplog):
    for backbone, words in (("homemade", "The order of layers is the one in which they were given"), ("", "")):
        folders = [found(tmp_path / f"{backbone}{name}", name, backbone=backbone) for name in "zca"]
        assert report(folders, tmp_path / "l.png")["layers"] == ["z", "c", "a"]
        assert words in caplog.text


def test_lines_are_made_of_one_size_and_kind(tmp_path):
    searched = [
        read_searched(
            found(tmp_path / f"{size}{name}{small}", name + size, map=value, dimension=dimension,
                  encode={"method": "vlad", **({"reduce": "p"} if small else {})}), "x",
        )
        for (size, name, value, small, dimension) in (
            ("@448", "conv5", 0.9, False, 300), ("", "conv4", 0.5, False, 200), ("", "conv5", 0.6, False, 300),
            ("", "conv5", 0.7, True, 96), ("", "conv4", 0.8, True, 96),
        )
    ]  # fmt: skip
    curves = report_retrieval.curves_of(searched)
    assert [(curve.name, list(curve.layers), curve.values.tolist()) for curve in curves] == [
        ("vlad, input 224, full (200–300)", ["conv4", "conv5"], [0.5, 0.6]),
        ("vlad, input 224, PCA to 96", ["conv5", "conv4"], [0.7, 0.8]),
        ("vlad, input 448, full (300)", ["conv5"], [0.9]),
    ]


def test_the_figure_shows_the_numbers_in_percent():
    curves = [
        LayerCurve("vlad, input 224", "full", ["a", "c"], np.array([0.5, 0.7])),
        LayerCurve("vlad, input 224", "PCA to 9", ["c", "b"], np.array([0.2, 0.1]), reduced=True),
        LayerCurve("vlad, input 448", "full", ["b"], np.array([0.4])),
    ]
    figure = layer_figure(curves, ["a", "b", "c"], "net: 3 queries")
    (panel,) = figure.axes
    assert panel.get_ylabel() == "Mean average precision (%)"
    assert [text.get_text() for text in panel.get_xticklabels()] == ["a", "b", "c"]
    nan = np.nan
    for line, values in zip(panel.lines, ([50, nan, 70], [nan, 10, 20], [nan, 40, nan]), strict=True):
        np.testing.assert_allclose(line.get_ydata(), values)
    assert [line.get_linestyle() for line in panel.lines] == ["-", "--", "-"]
    assert [line.get_color() for line in panel.lines] == [COLOURS[0], COLOURS[0], COLOURS[1]]
    assert panel.get_title(loc="left") == "net: 3 queries"
    (legend,) = figure.legends
    names = ["vlad, input 224, full", "vlad, input 224, PCA to 9", "vlad, input 448, full"]
    assert [text.get_text() for text in legend.get_texts()] == names


@pytest.mark.parametrize("layers", [["a"], [f"inception_{number}a_with_a_long_name" for number in range(30)]])
def test_nothing_is_clipped(layers):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    values = np.linspace(0.1, 0.9, len(layers))
    figure = layer_figure([LayerCurve(f"family {n}", "k" * 20 * n, layers, values) for n in range(4)], layers, "t")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    page = figure.bbox.padded(0.5)
    boxes = [figure.axes[0].get_tightbbox(renderer), figure.legends[0].get_window_extent(renderer)]
    for box in boxes:
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("suffix", FIRST_BYTES)
def test_pictures_are_written_in_the_format_of_the_suffix(tmp_path, suffix):
    folders = [found(tmp_path / "a", "conv4"), found(tmp_path / "b", "conv5")]
    output = tmp_path / f"layers{suffix}"
    assert report(folders, output)["output"] == str(output)
    assert output.read_bytes().startswith(FIRST_BYTES[suffix])


def test_folders_that_cannot_be_read_are_refused(tmp_path):
    out = tmp_path / "l.png"
    with pytest.raises(UsageError, match=r"none does not exist; give folders of 'vidfeat retrieve CODES -o OUT'"):
        report([tmp_path / "none"], out)
    (tmp_path / "codes.h5").write_text("")
    with pytest.raises(UsageError, match=r"codes\.h5 is a file; give folders"):
        report([tmp_path / "codes.h5"], out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty has no results\.json; 'vidfeat retrieve"):
        report([tmp_path / "empty"], out)
    for name, text, words in (
        ("cut", "{", "Cannot read"),
        ("svm", '{"confusion": [], "accuracy": 1}', "but of 'vidfeat svm train'"),
        ("list", "[1]", "but of something else"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)
        with pytest.raises(UsageError, match=words):
            report([tmp_path / name], out)
    assert not out.exists()


def test_searches_that_cannot_share_a_plot_are_refused(tmp_path):
    first = found(tmp_path / "first")
    out = tmp_path / "l.png"
    for name, options, words in (
        ("more", {"feature": "fc7", "n_database": 8}, "here 2 queries against 8 items.*, there 2 queries against 7"),
        ("others", {"feature": "fc7", "queries": "ac"}, "asked different things: here other queries"),
        ("net", {"feature": "fc7", "backbone": "vgg16"}, "net is of vgg16, first of alexnet; their layers have no"),
        ("same", {"map": 0.6}, "first and same are both vlad of conv5, and would be one point"),
    ):
        with pytest.raises(UsageError, match=words):
            report([first, found(tmp_path / name, **options)], out)
    many = [found(tmp_path / f"m{n}", encode={"method": f"m{n}"}) for n in range(8)]
    with pytest.raises(UsageError, match="8 kinds of codes are too many for one plot: 7 can be told apart"):
        report(many, out)
    with pytest.raises(UsageError, match=r"The folder .* does not exist"):
        report([first], tmp_path / "no" / "l.png")
    (tmp_path / "d.png").mkdir()
    with pytest.raises(UsageError, match=r"is a folder; give the name of a picture"):
        report([first], tmp_path / "d.png")
    with pytest.raises(UsageError, match=r"l\.jpg has the suffix '\.jpg'; allowed are \.png, \.svg, \.pdf"):
        RetrievalReportConfig(found=[first], output=tmp_path / "l.jpg")
    assert not out.exists()
