"""Items that belong to no class, as manifests of several labels have them: in training, in the test, in all figures."""

import csv
import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from vidfeat.errors import UsageError
from vidfeat.stages import compare, fuse, mkl, report_classes, report_runs, svm
from vidfeat.stages.config.fusion import CompareConfig, FuseConfig
from vidfeat.stages.config.mkl import MklTrainConfig
from vidfeat.stages.config.scores import PerClassConfig, RunsReportConfig
from vidfeat.stages.config.svm import SvmEvalConfig, SvmTrainConfig
from vidfeat.stages.labelled import read_labelled
from vidfeat.stages.task import make_task
from vidfeat.stages.tested import read_tested
from vidfeat.store import CodesWriter

KINDS = [("run",), ("jump",), ("run", "jump"), ()]
GROUPS = 8


def write_codes(path, kinds=KINDS, seed=0):
    """One item of each kind and group, the first half of the groups for training."""
    random = np.random.Generator(np.random.PCG64(seed))
    with CodesWriter(path, {}) as codes:
        for group in range(GROUPS):
            for number, labels in enumerate(kinds):
                code = 0.6 * random.standard_normal((3, 4))
                code[:, 0] += "run" in labels
                code[:, 1] += "jump" in labels
                part = {"split1": "train" if group < GROUPS // 2 else "test"}
                codes.append(f"g{group}v{number}", {"default": code.ravel()}, labels, f"g{group}", part)
        codes.set_blocks("default", [(node, 4 * node, 4 * node + 4) for node in range(3)])
    return path


def train(path, output, **options):
    return svm.train(SvmTrainConfig(codes=path, output=output, **options)).as_dict()


def judged_rows(folder):
    """Labels (a set) and scores of every row of predictions.csv."""
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scores = {name: np.array([float(row[f"score:{name}"]) for row in rows]) for name in ("jump", "run")}
    return [set(filter(None, row["label"].split("|"))) for row in rows], scores


@pytest.mark.parametrize("trainer", [train, lambda path, out: mkl.train(MklTrainConfig([path], out)).as_dict()])
def test_negatives_train_and_lower_average_precision(tmp_path, caplog, trainer):
    results = trainer(write_codes(tmp_path / "c.h5"), tmp_path / "R")
    assert "4 of 16 training items have no label and count as negatives of every class" in caplog.text
    assert "4 of 16 test items have no label: they count in average precision" in caplog.text
    assert (results["n_train"], results["n_test"], results["n_test_unlabelled"]) == (16, 16, 4)
    labels, scores = judged_rows(tmp_path / "R")
    expected = {c: average_precision_score([c in own for own in labels], scores[c]) for c in ("jump", "run")}
    assert results["map"] == pytest.approx(np.mean(list(expected.values())))
    assert {c: results["per_class"][c]["ap"] for c in expected} == pytest.approx(expected)
    labelled = [row for row, own in enumerate(labels) if own]
    without = [average_precision_score([c in labels[r] for r in labelled], scores[c][labelled]) for c in expected]
    assert results["map"] < np.mean(without)
    best = np.where(scores["run"] > scores["jump"], "run", "jump")
    right = np.mean([best[row] in labels[row] for row in labelled])
    assert results["accuracy"] == results["hit"]["1"] == pytest.approx(right)
    assert np.sum(results["confusion"]) == 12


def test_all_commands_on_runs_know_them(tmp_path):
    runs = [tmp_path / "A", tmp_path / "B"]
    for number, folder in enumerate(runs):
        train(write_codes(tmp_path / f"{number}.h5", seed=number), folder, leave_one_group_out=True)
    results = json.loads((runs[0] / "results.json").read_text())
    for figures in (
        svm.evaluate(SvmEvalConfig(runs=runs[:1], bootstrap=50)).as_dict(),
        report_runs.run(RunsReportConfig(runs=runs, bootstrap=50)).as_dict()["runs"][0],
        fuse.run(FuseConfig(runs=runs, output=tmp_path / "F", weights="1,0", normalize="none")).as_dict(),
    ):
        for name in ("accuracy", "mean_per_class_accuracy", "map", "hit"):
            assert figures[name] == pytest.approx(results[name])
    assert read_tested(tmp_path / "F").figures()["map"] == pytest.approx(results["map"])
    chosen = fuse.run(FuseConfig(runs=runs, output=tmp_path / "G", weights="auto", normalize="none")).as_dict()
    assert chosen["fusion"]["chosen_by"]["measure"] == "map"
    found = compare.run(CompareConfig(runs=runs, bootstrap=200)).as_dict()
    for name in ("accuracy", "mean_per_class_accuracy", "map"):
        assert found["figures"][name]["first"] == pytest.approx(results[name])
        assert np.isfinite(found["figures"][name]["interval95"]).all()
    table = report_classes.per_class(PerClassConfig(runs=runs[:1], output=tmp_path / "p.png")).as_dict()["classes"]
    assert table["run"]["n"] == 2 * GROUPS


def test_without_several_labels_they_are_refused_unless_asked_for(tmp_path, caplog):
    path = write_codes(tmp_path / "c.h5", [("run",), ("jump",), ()])
    with pytest.raises(UsageError, match=r"4 training items have no label \(first: 'g0v2'\); .* or --unlabelled neg"):
        train(path, tmp_path / "R")
    results = train(path, tmp_path / "R", unlabelled="negative", probabilities=True)
    assert results["n_test_unlabelled"] == 4 and results["cross_validation"]["measure"] == "map"
    several = write_codes(tmp_path / "several.h5")
    with pytest.raises(UsageError, match="4 training items have no label"):
        train(several, tmp_path / "S", unlabelled="refuse")
    with pytest.raises(UsageError, match="the class 'run' or no label; a classifier needs two classes"):
        train(write_codes(tmp_path / "o.h5", [("run",), ()]), tmp_path / "S", unlabelled="negative")
    with pytest.raises(UsageError, match="needs exactly one label for every training item, and some have several or"):
        train(several, tmp_path / "S", multiclass="ovo")


def test_a_label_that_all_training_items_have_is_refused_by_name(tmp_path):
    path = write_codes(tmp_path / "c.h5", [("run", "any"), ("jump", "any")])
    for options in ({}, {"leave_one_group_out": True}):
        with pytest.raises(UsageError, match=r"All \d+ training items have the label 'any', so nothing tells it"):
            train(path, tmp_path / "R", **options)


def test_folds_learn_what_the_whole_does(tmp_path):
    """Only group g0 has items of two labels; the fold without it must not turn to class numbers, and to accuracy."""
    path = write_codes(tmp_path / "c.h5", [("run",), ("jump",)])
    (tmp_path / "m.csv").write_text(
        "id,label\n"
        + "".join(f"g{g}v{n},{'run|jump' if (g, n) == (0, 0) else KINDS[n][0]}\n" for g in range(8) for n in (0, 1))
    )
    data = read_labelled(path, "default", tmp_path / "m.csv")
    task = make_task(data, None, True, "auto")
    y, classes = task.targets(data.take(range(2, 16)))
    assert (y.shape, classes) == ((14, 2), ["jump", "run"])


def test_predictions_whose_labels_are_gone_are_refused(tmp_path):
    train(write_codes(tmp_path / "c.h5"), tmp_path / "R")
    path = tmp_path / "R" / "predictions.csv"
    path.write_text(path.read_text().replace("run|jump", ""))
    with pytest.raises(UsageError, match=r"8 of 16 items have no label to judge them by"):
        svm.evaluate(SvmEvalConfig(runs=[tmp_path / "R"]))


def test_a_single_test_group_has_no_interval(tmp_path, caplog):
    path = write_codes(tmp_path / "c.h5")
    lines = [f"g{g}v{n},{'g4' if g > 3 else f'g{g}'}" for g in range(GROUPS) for n in range(4)]
    (tmp_path / "m.csv").write_text("id,group\n" + "\n".join(lines) + "\n")
    train(path, tmp_path / "R", manifest=tmp_path / "m.csv")
    assert "intervals" not in svm.evaluate(SvmEvalConfig(runs=[tmp_path / "R"])).as_dict()
    assert "all test items are in one group (g4), so there are no intervals" in caplog.text
