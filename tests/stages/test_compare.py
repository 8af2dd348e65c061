"""``vidfeat compare`` and the reports of figures, on made-up runs."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from judged_runs import CLASSES, make_scores, names, write_judged
from tolerances import FLOAT64

from vidfeat import metrics
from vidfeat.errors import UsageError
from vidfeat.stages import compare, report_classes, report_runs, scores
from vidfeat.stages.config.fusion import CompareConfig
from vidfeat.stages.config.scores import ConfusionConfig, PerClassConfig, RunsReportConfig
from vidfeat.stages.tested import read_tested
from vidfeat.stages.trained import read_trained

TRUTH = np.random.Generator(np.random.PCG64(1)).permutation(48) % 3
MEASURES = ("accuracy", "mean_per_class_accuracy", "map")
FIRST_BYTES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def run_of(folder, noise, seed, labels=None, **more):
    return write_judged(folder, make_scores(TRUTH, noise, seed), names(TRUTH) if labels is None else labels, **more)


def judged(folder):
    one = read_tested(folder)
    return scores.figures(one.labels, one.scores, one.classes)


@pytest.fixture
def pair(tmp_path):
    return [run_of(tmp_path / "bad", 1.0, 1), run_of(tmp_path / "good", 0.3, 2)]


def several_labels(tmp_path, seed=3):
    """Items of one or two labels, and one whose label no training item had."""
    labels = [f"{own}|{CLASSES[i % 3]}" if i % 4 == 0 else own for i, own in enumerate(names(TRUTH))]
    labels[7] = "unseen"
    return run_of(tmp_path / f"several{seed}", 0.8, seed, labels)


@pytest.mark.parametrize("several", [False, True])
def test_differences_are_those_of_results_json(tmp_path, pair, several):
    folders = [several_labels(tmp_path, 3), several_labels(tmp_path, 4)] if several else pair
    facts = compare.run(CompareConfig(runs=folders, bootstrap=400)).as_dict()
    first, second = (judged(folder) for folder in folders)
    for name in MEASURES:
        entry = facts["figures"][name]
        assert (entry["first"], entry["second"]) == (first[name], second[name])
        assert entry["difference"] == pytest.approx(second[name] - first[name], abs=FLOAT64)
        low, high = entry["interval95"]
        assert low < entry["difference"] < high
        assert 0 < entry["p"] <= 1
    for name, entry in facts["per_class"].items():
        for measure in ("accuracy", "ap"):
            a, b = (each["per_class"][name][measure] for each in (first, second))
            assert (entry[measure]["first"], entry[measure]["second"]) == (a, b)
            assert entry[measure]["difference"] == pytest.approx(b - a, abs=FLOAT64)
    assert (facts["first"], facts["n_test"], facts["groups"]) == ([folders[0].name], 48, 12)
    assert facts["test"] == {"swaps": 400, "exact": False, "smallest_p": 1 / 401}
    if not several:
        assert facts["figures"]["accuracy"]["p"] < 0.05 < facts["figures"]["accuracy"]["interval95"][0]
    json.dumps(facts, allow_nan=False)


def test_outcomes_are_right_as_results_json_counts(tmp_path):
    folder = several_labels(tmp_path)
    assert read_tested(folder).outcome().right.mean() == judged(folder)["accuracy"]
    assert read_tested(folder).outcome().truth[7] == 3


def test_few_groups_are_swapped_in_all_ways(tmp_path):
    groups = [f"g{i % 5}" for i in range(48)]
    folders = [run_of(tmp_path / "a", 0.8, 1, groups=groups), run_of(tmp_path / "b", 0.5, 2, groups=groups)]
    facts = compare.run(CompareConfig(runs=folders, bootstrap=100)).as_dict()
    assert facts["test"] == {"swaps": 32, "exact": True, "smallest_p": 2 / 32}
    assert (facts["figures"]["accuracy"]["p"] * 32).is_integer()


def test_without_resampling_there_are_no_intervals(pair):
    facts = compare.run(CompareConfig(runs=pair, bootstrap=0)).as_dict()
    assert facts["test"] is None
    assert set(facts["figures"]["map"]) == {"first", "second", "difference"}
    assert "interval95" not in facts["per_class"]["a"]["ap"]


def test_splits_are_compared_by_the_mean_of_their_differences(tmp_path, pair):
    ids, groups = [f"w{i:03d}" for i in range(48)], [f"h{i % 9}" for i in range(48)]
    more = [
        run_of(tmp_path / name, noise, seed, ids=ids, split="split2", sha="other", groups=groups)
        for name, noise, seed in (("bad2", 0.9, 5), ("good2", 0.4, 6))
    ]  # fmt: skip
    folders = [pair[0], more[0], pair[1], more[1]]
    facts = compare.run(CompareConfig(runs=folders, splits=2, bootstrap=50)).as_dict()
    alone = [judged(folder) for folder in folders]
    assert (facts["n_test"], facts["groups"], facts["first"]) == (96, 21, ["bad", "bad2"])
    for name in MEASURES:
        expected = (alone[2][name] - alone[0][name] + alone[3][name] - alone[1][name]) / 2
        assert facts["figures"][name]["difference"] == pytest.approx(expected, abs=FLOAT64)
    assert facts["per_class"]["a"]["n"] == 32
    other = run_of(tmp_path / "o1", 0.5, 1, names(TRUTH, "xyz"), classes="xyz")
    again = run_of(tmp_path / "o2", 0.5, 2, names(TRUTH, "xyz"), classes="xyz")
    with pytest.raises(UsageError, match="do not have the same classes, so they are not splits of one set: a, b, c"):
        compare.run(CompareConfig(runs=[pair[0], other, pair[1], again], splits=2))


def test_other_training_items_are_said(tmp_path, caplog):
    folders = [run_of(tmp_path / "a", 0.8, 1), run_of(tmp_path / "b", 0.5, 2, sha="more")]
    compare.run(CompareConfig(runs=folders, bootstrap=0))
    assert "a on 20 items of 'split1'" in caplog.text and "not trained on the same items" in caplog.text


HEAD = "id,split,label,predicted,score:a,score:b\n"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("predictions.csv", "", r"begins with '', not with 'id,split,label,predicted,score:…'"),
        ("predictions.csv", "a,b\n1,2\n", r"predictions\.csv begins with 'a,b', not with"),
        (
            "predictions.csv",
            HEAD + "v,test,a,a,1,2\nw,test\n",
            r"line 3: 2 fields where the header has 6\. Train again",
        ),
        ("predictions.csv", HEAD + "v,test,a,a,1,x\n", r"line 2: could not convert string to float: 'x'"),
        ("predictions.csv", HEAD, r"has 0 rows"),
        ("results.json", "[]", r"Cannot read .*results\.json: it holds a list, not an object with names"),
    ],
)
def test_damaged_runs_are_refused_in_words(tmp_path, name, text, words):
    folder = run_of(tmp_path / "R", 0.5, 1)
    (folder / name).write_text(text)
    with pytest.raises(UsageError, match=words):
        read_tested(folder)


@pytest.mark.parametrize("form", ["vidfeat-svm", "vidfeat-mkl"])
def test_damaged_models_are_refused_in_words(tmp_path, form):
    folder = run_of(tmp_path / "R", 0.5, 1)
    (folder / "model.json").write_text(json.dumps({"format": form, "version": 1}))
    with pytest.raises(UsageError, match=r"R/model\.json is damaged: it has no '\w+'\. Train again"):
        read_trained(folder)


def test_blank_lines_of_a_spreadsheet_do_not_matter(tmp_path):
    folder = run_of(tmp_path / "R", 0.5, 1)
    before = read_tested(folder).figures()
    path = folder / "predictions.csv"
    path.write_text(path.read_text().replace("\nv010", "\n\nv010") + "\n\n")
    assert read_tested(folder).figures() == before


def test_comparisons_that_cannot_be_are_refused(tmp_path, pair):
    with pytest.raises(UsageError, match=r"different test items: 'v000' is in .*bad, not in .*z \(48 such of 48\)"):
        compare.run(CompareConfig(runs=[pair[0], run_of(tmp_path / "z", 1, 1, ids=[f"z{i}" for i in range(48)])]))
    one = [run_of(tmp_path / name, 0.5, 1, groups=["g"] * 48) for name in "ab"]
    with pytest.raises(UsageError, match=r"All 48 items are in one group \(g\), so nothing can be said about chance"):
        compare.run(CompareConfig(runs=one))
    for splits, given in ((1, 3), (2, 2), (0, 0)):
        with pytest.raises(UsageError, match=f"{given} runs came with --splits {splits}; compare takes two runs"):
            CompareConfig(runs=["x"] * given, splits=splits)
    with pytest.raises(UsageError, match="--bootstrap is -1"):
        CompareConfig(runs=["x"] * 2, bootstrap=-1)


def test_the_table_of_runs_has_their_figures_and_spread(tmp_path, pair):
    config = RunsReportConfig(runs=pair, output=tmp_path / "r.csv", mean=True, hit="2,1", bootstrap=50)
    facts = report_runs.run(config).as_dict()
    expected = [judged(folder) for folder in pair]
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == ["bad", "good", "mean", "sd"]
    for name in MEASURES:
        values = [figures[name] for figures in expected]
        assert [float(row[name]) for row in rows] == pytest.approx([*values, np.mean(values), np.std(values, ddof=1)])
        own = read_tested(pair[0])
        arrays = np.array(own.labels)[:, 0], own.scores  # drawn one by one here, by weights there
        ends = metrics.group_bootstrap(
            lambda labels, values, name=name: scores.figures([(label,) for label in labels], values, CLASSES)[name],
            own.groups, *arrays, n_resamples=50,
        )  # fmt: skip
        assert facts["runs"][0]["intervals"][name] == pytest.approx(ends, abs=FLOAT64)
        assert float(rows[0][f"{name}_low"]) == facts["runs"][0]["intervals"][name][0]
    assert float(rows[0]["hit@1"]) == expected[0]["hit"]["1"] < float(rows[0]["hit@2"]) < 1
    assert rows[2]["split"] == rows[2]["accuracy_low"] == ""


@pytest.mark.parametrize("suffix", FIRST_BYTES)
def test_pictures_are_written_in_the_format_of_the_suffix(tmp_path, pair, suffix):
    output = tmp_path / f"p{suffix}"
    jobs = [
        lambda: report_runs.run(RunsReportConfig(runs=pair, output=output, mean=True, bootstrap=20)),
        lambda: report_classes.confusion(ConfusionConfig(run=pair[0], output=output)),
        lambda: report_classes.per_class(PerClassConfig(runs=pair[:1], output=output)),
        lambda: report_classes.per_class(PerClassConfig(runs=pair, output=output, measure="ap")),
    ]
    for job in jobs:
        output.unlink(missing_ok=True)
        assert job().as_dict()["output"] == str(output)
        assert output.read_bytes().startswith(FIRST_BYTES[suffix])


def test_mistakes_are_counted_the_most_frequent_first(tmp_path):
    predicted = np.where(TRUTH == 0, 1, TRUTH)
    predicted[np.flatnonzero(TRUTH == 2)[:4]] = 0
    folder = write_judged(tmp_path / "R", np.eye(3)[predicted], names(TRUTH))
    facts = report_classes.confusion(ConfusionConfig(run=folder, output=tmp_path / "c.png")).as_dict()
    assert facts["mistakes"] == [
        {"true": "a", "predicted": "b", "items": 16, "share": 1.0},
        {"true": "c", "predicted": "a", "items": 4, "share": 0.25},
    ]
    table = report_classes.per_class(PerClassConfig(runs=[folder], output=tmp_path / "c.png")).as_dict()["classes"]
    assert {name: table["b"][name] for name in ("n", "accuracy", "precision")} == {
        "n": 16,
        "accuracy": 1,
        "precision": 0.5,
    }
    assert (table["a"]["accuracy"], table["a"]["precision"], table["a"]["f1"]) == (0, 0, 0)
    assert table["c"]["f1"] == pytest.approx(2 * 0.75 / 1.75)
    perfect = write_judged(tmp_path / "P", np.eye(3)[TRUTH], names(TRUTH))
    assert report_classes.confusion(ConfusionConfig(run=perfect, output=tmp_path / "c.png")).facts["mistakes"] == []


def test_classes_without_items_and_single_groups_can_be_drawn(tmp_path):
    truth = TRUTH % 2
    folders = [
        write_judged(tmp_path / name, make_scores(truth, 0.8, seed), names(truth), groups=["g"] * 48)
        for seed, name in enumerate("ab")
    ]
    output = tmp_path / "x.png"
    report_classes.confusion(ConfusionConfig(run=folders[0], output=output))
    one = report_classes.per_class(PerClassConfig(runs=folders[:1], output=output)).as_dict()["classes"]["c"]
    assert (one["n"], one["accuracy"], one["ap"]) == (0, None, None)
    both = report_classes.per_class(PerClassConfig(runs=folders, output=output)).as_dict()["differences"]
    assert both["c"]["accuracy"] == {"first": None, "second": None, "difference": None}
    assert "interval95" not in both["a"]["accuracy"]
    row = report_runs.run(RunsReportConfig(runs=folders, output=output)).as_dict()["runs"][0]
    assert row["intervals"] is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (lambda: RunsReportConfig(runs=["x"], output=Path("a.txt")), r"allowed are \.csv, \.png, \.svg, \.pdf"),
        (lambda: RunsReportConfig(runs=["x"], mean=True), "--mean is over two runs or more; one came"),
        (lambda: RunsReportConfig(runs=["x"], hit="1,0"), "--hit is '1,0'; it must be whole numbers above 0"),
        (lambda: RunsReportConfig(runs=["x"], hit="a"), "--hit is 'a'"),
        (lambda: RunsReportConfig(runs=["x"], bootstrap=-1), "--bootstrap is -1"),
        (lambda: ConfusionConfig(run="x", output=Path("c")), "has no suffix; allowed are .png"),
        (lambda: PerClassConfig(runs=["x"] * 3, output=Path("c.png")), "3 runs came; give one, or two"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(config, words):
    with pytest.raises(UsageError, match=words):
        config()


def test_reports_refuse_what_they_cannot_write_or_mix(tmp_path, pair):
    (tmp_path / "d.png").mkdir()
    for job in (
        lambda: report_runs.run(RunsReportConfig(runs=pair, output=tmp_path / "d.png")),
        lambda: report_classes.confusion(ConfusionConfig(run=pair[0], output=tmp_path / "d.png")),
        lambda: report_classes.per_class(PerClassConfig(runs=pair, output=tmp_path / "d.png")),
    ):
        with pytest.raises(UsageError, match=r"d\.png is a folder; give the name of a"):
            job()
    other = run_of(tmp_path / "other", 0.5, 1, names(TRUTH, "xyz"), classes="xyz")
    with pytest.raises(UsageError, match=r"have different classes \('a' is in one of them only\)"):
        report_runs.run(RunsReportConfig(runs=[pair[0], other], mean=True))
