"""fuse, compare and the reports of runs on the command line, on runs of 'vidfeat svm train'."""

import json

import numpy as np
import pytest
from invoke import vidfeat
from judged_runs import make_scores, names, write_judged

from vidfeat.store import CodesWriter

LOGO = ["--leave-one-group-out", "--C", "1", "-q"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs of one set: codes that tell two of three classes apart each, so that both together know all."""
    folder = tmp_path_factory.mktemp("trained")
    random = np.random.Generator(np.random.PCG64(0))
    for name, known in (("rgb", (0, 1)), ("flow", (1, 2))):
        with CodesWriter(folder / f"{name}.h5", {}) as writer:
            for number in range(72):
                code = np.zeros(6)
                code[list(known)] = np.eye(3)[number % 3][list(known)]
                code += 0.5 * random.standard_normal(6)
                writer.append(f"v{number:02d}", {"default": code}, ("abc"[number % 3],), f"g{number // 8}", {})
        assert vidfeat("svm", "train", folder / f"{name}.h5", "-o", folder / name, *LOGO).exit_code == 0
    return folder


def test_from_two_runs_to_a_better_one(trained, tmp_path):
    rgb, flow, both = trained / "rgb", trained / "flow", tmp_path / "BOTH"
    result = vidfeat("fuse", rgb, flow, "--weights", "1,1.5", "-o", both)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0].endswith("BOTH: 72 test items, split leave-one-group-out, scores by l1")
    found = json.loads((both / "results.json").read_text())["accuracy"]
    alone = [json.loads((run / "results.json").read_text())["accuracy"] for run in (rgb, flow)]
    assert found > max(alone)
    auto = vidfeat("fuse", rgb, flow, "--weights", "auto", "-o", tmp_path / "AUTO")
    assert "on all groups; each group was scored with what is best on the others" in auto.stdout
    result = vidfeat("compare", rgb, both, "--bootstrap", "100")
    assert result.exit_code == 0, result.stderr
    assert "72 test items in 9 groups; difference = BOTH minus rgb" in result.stdout
    assert "p over 100 random ways to swap groups, at least 0.0099." in result.stdout
    facts = json.loads(vidfeat("compare", rgb, both, "--bootstrap", "100", "--json").stdout)
    assert facts["figures"]["accuracy"]["difference"] == pytest.approx(found - alone[0])
    plain = vidfeat("compare", rgb, both, "--bootstrap", "0").stdout
    assert "95 %" not in plain and "p over" not in plain
    evaluated = vidfeat("svm", "eval", both, "--bootstrap", "20")
    assert evaluated.exit_code == 0, evaluated.stderr


def test_reports_of_runs_and_classes(trained, tmp_path):
    rgb, flow = trained / "rgb", trained / "flow"
    result = vidfeat("report", "runs", rgb, flow, "--mean", "-o", tmp_path / "r.csv", "--bootstrap", "20")
    assert result.exit_code == 0, result.stderr
    assert "mean ± sd" in result.stdout and (tmp_path / "r.csv").read_text().startswith("run,split,n_test,accuracy")
    assert "95 %" not in vidfeat("report", "runs", rgb, flow, "--bootstrap", "0").stdout
    result = vidfeat("report", "confusion", rgb, "-o", tmp_path / "c.png")
    assert "Taken for another most often:" in result.stdout
    assert "precision" in vidfeat("report", "per-class", rgb, "-o", tmp_path / "p.png").stdout
    result = vidfeat("report", "per-class", rgb, flow, "-o", tmp_path / "p.png")
    assert "difference = flow minus rgb" in result.stdout
    truth = np.arange(12) % 3
    perfect = write_judged(tmp_path / "P", make_scores(truth, 0, 0), names(truth))
    assert "All were predicted right." in vidfeat("report", "confusion", perfect, "-o", tmp_path / "c.png").stdout


def test_weights_that_were_chosen_on_validation_are_said(tmp_path):
    truth = np.arange(24) % 3
    runs = [write_judged(tmp_path / f"r{i}", make_scores(truth, 0.5, i), names(truth)) for i in (0, 1)]
    given = {"ids": [f"t{i}" for i in range(24)], "groups": [f"h{i // 4}" for i in range(24)]}
    given |= {"split": "leave-one-group-out"}
    valid = [write_judged(tmp_path / f"c{i}", make_scores(truth, 0.5, i + 5), names(truth), **given) for i in (0, 1)]
    flags = [part for folder in valid for part in ("--validation", folder)]
    result = vidfeat("fuse", *runs, "--weights", "auto", *flags, "-o", tmp_path / "F")
    assert result.exit_code == 0, result.stderr
    assert "on the training items." in result.stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["fuse", "a", "-o", "F"], "Fusion needs two runs or more; 1 came"),
        (["fuse", "a", "b"], "Missing --output"),
        (["fuse", "nowhere", "b", "-o", "F"], "nowhere is not a run: it has no results.json"),
        (["compare", "a"], "1 runs came with --splits 1"),
        (["compare", "nowhere", "b"], "nowhere is not a run"),
        (["report", "runs"], "Missing RUN..."),
        (["report", "confusion", "a", "-o", "c.jpg"], "has the suffix '.jpg'; allowed are .png, .svg, .pdf"),
        (["report", "per-class", "a", "b", "c", "-o", "c.png"], "3 runs came; give one, or two to compare"),
    ],
)
def test_wrong_usage_exits_2_with_words(tmp_path, monkeypatch, command, words):
    monkeypatch.chdir(tmp_path)
    result = vidfeat(*command)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
