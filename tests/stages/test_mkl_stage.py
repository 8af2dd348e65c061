"""``mkl train|predict|eval``: streams of pyramids, the table by level, the files of RUN, the words of errors."""

import csv
import json

import numpy as np
import pytest

from vidfeat.errors import UsageError
from vidfeat.stages import mkl
from vidfeat.stages.config.mkl import MklEvalConfig, MklPredictConfig, MklTrainConfig
from vidfeat.store import CodesWriter

CLASSES = ("left", "right", "still")
DIMENSION = 6


def write_codes(path, *, seed=0, levels=3, groups=6, informative=2, blocks=True, ids="v{}/{}", feature="x"):
    """One item per class and group, the first half of the groups for training; one node tells classes apart."""
    random = np.random.default_rng(seed)
    nodes = 2**levels - 1
    provenance = {"features": {}, "features_fingerprint": "f", "feature": feature, "encode": {}, "extraction": None}
    edges = np.arange(nodes + 1) * DIMENSION
    with CodesWriter(path, provenance) as codes:
        for group in range(groups):
            for number, name in enumerate(CLASSES):
                code = np.abs(random.normal(size=(nodes, DIMENSION)))
                code[informative, number] += 6
                split = {"split1": "train" if group < groups // 2 else "test"}
                codes.append(ids.format(group, name), {"default": code.ravel()}, (name,), f"g{group}", split)
        if blocks:
            codes.set_blocks("default", list(zip(range(nodes), edges[:-1], edges[1:], strict=True)))
    return path


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    return [
        write_codes(folder / "rgb.h5"),
        write_codes(folder / "flow.h5", seed=1, levels=2, informative=1, feature="y"),
    ]


def train(codes, output, **options):
    return mkl.train(MklTrainConfig(codes=codes, output=output, **{"C": "1", **options})).as_dict()


def rows_of(path):
    with path.open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def trained(streams, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "RUN"
    train(streams, folder, C="auto", by_level=True)
    return folder


def test_a_run_has_its_figures_weights_and_heat_map(trained):
    results = json.loads((trained / "results.json").read_text())
    assert (results["n_train"], results["n_test"], results["split"], results["accuracy"]) == (9, 9, "split1", 1.0)
    assert results["weights"]["duality_gap"] <= 1e-3 and results["cross_validation"]["folds"] == 3
    facts = json.loads((trained / "beta.json").read_text())
    rgb, flow = facts["weights"]
    assert (rgb["stream"], flow["stream"], rgb["classes"]) == ("rgb", "flow", "all classes")
    assert [len(level) for level in rgb["levels"]] == [1, 2, 4] and [len(level) for level in flow["levels"]] == [1, 2]
    assert sum(map(sum, rgb["levels"])) == pytest.approx(1) and sum(map(sum, flow["levels"])) == pytest.approx(1)
    assert rgb["levels"][1][1] == max(map(max, rgb["levels"])) > 0.5 and flow["levels"][1][0] > 0.5
    assert (trained / "beta.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in trained.glob("*.libsvm")) == [f"class-000{n}.libsvm" for n in range(3)]


def test_the_table_by_level_has_every_stream_and_all_together(trained, streams, tmp_path):
    rows = json.loads((trained / "results.json").read_text())["by_level"]
    assert [(row["levels"], row["nodes"], row["stream"]) for row in rows] == [
        (1, 1, "rgb"), (1, 1, "flow"), (1, 2, "all together"),
        (2, 3, "rgb"), (2, 3, "flow"), (2, 6, "all together"),  # as many levels as every stream has
    ]  # fmt: skip
    cells = {"concatenation uniform", "concatenation simplemkl", "averaging uniform", "averaging simplemkl"}
    assert set(rows[0]) == {"levels", "nodes", "stream", *cells}
    for row in rows[:2]:  # one node has one weight
        assert len({row[name]["accuracy"] for name in cells}) == 1
    for first, second in zip(rows[:3], rows[3:], strict=True):  # the second level has the informative nodes
        assert second["concatenation simplemkl"]["accuracy"] > first["concatenation simplemkl"]["accuracy"]
    low, high = rows[0]["averaging uniform"]["intervals"]["accuracy"]
    assert low <= rows[0]["averaging uniform"]["accuracy"] <= high
    alone = train([streams[1]], tmp_path / "F", C="auto", levels=2, combination="averaging")
    assert rows[4]["averaging simplemkl"]["map"] == pytest.approx(alone["map"])
    both = train(streams, tmp_path / "B", C="auto", levels=2, method="uniform")
    assert rows[5]["concatenation uniform"]["map"] == pytest.approx(both["map"])


def test_predict_gives_the_scores_of_training(trained, streams, tmp_path, caplog):
    mkl.predict(MklPredictConfig(run=trained, codes=streams, output=tmp_path / "p.csv"))
    assert "9 of 18 items were in the training part" in caplog.text
    again, tested = rows_of(tmp_path / "p.csv"), rows_of(trained / "predictions.csv")
    assert len(again) == 18 and len(tested) == 9
    for item_id, row in tested.items():
        for name in CLASSES:
            assert float(again[item_id][f"score:{name}"]) == pytest.approx(float(row[f"score:{name}"]), abs=1e-9)


@pytest.mark.parametrize("options", [
    {"kernel": "rbf"}, {"kernel": "intersection", "combination": "averaging", "beta": "per-class"},
])  # fmt: skip
def test_models_of_other_kernels_are_kept_and_read(streams, tmp_path, options):
    train(streams, tmp_path / "R", **options)
    assert (tmp_path / "R" / "model.h5").is_file() and not list((tmp_path / "R").glob("*.libsvm"))
    mkl.predict(MklPredictConfig(run=tmp_path / "R", codes=streams, output=tmp_path / "p.csv"))
    again = rows_of(tmp_path / "p.csv")
    for item_id, row in rows_of(tmp_path / "R" / "predictions.csv").items():
        assert float(again[item_id]["score:left"]) == pytest.approx(float(row["score:left"]), abs=1e-6)


def test_leaving_one_group_out_predicts_every_item_once(streams, tmp_path):
    results = train(streams[:1], tmp_path / "R", leave_one_group_out=True, levels=2, method="best-level")
    assert (results["n_test"], results["split"], results["weights"]["level"]) == (18, "leave-one-group-out", 2)
    assert results["accuracy"] > 0.9
    levels = json.loads((tmp_path / "R" / "beta.json").read_text())["weights"][0]["levels"]
    assert levels == [[0.0], [0.5, 0.5]]
    # Columns of levels that are not used have no weight, so that codes go in as they were encoded.
    mkl.predict(MklPredictConfig(run=tmp_path / "R", codes=streams[:1], output=tmp_path / "p.csv"))
    assert len(rows_of(tmp_path / "p.csv")) == 18


def test_two_classes_have_mirrored_machines(streams, tmp_path):
    results = train(streams, tmp_path / "R", merge_labels="moves=left,right", beta="per-class")
    assert results["classes"] == ["moves", "still"]
    mkl.predict(MklPredictConfig(run=tmp_path / "R", codes=streams, output=tmp_path / "p.csv"))
    row = next(iter(rows_of(tmp_path / "p.csv").values()))
    assert float(row["score:moves"]) == pytest.approx(-float(row["score:still"]))
    assert json.loads((tmp_path / "R" / "beta.json").read_text())["weights"][0]["classes"] == "moves against still"


def test_eval_gives_intervals(trained):
    found = mkl.evaluate(MklEvalConfig(runs=[trained], bootstrap=100)).as_dict()
    low, high = found["intervals"]["accuracy"]
    assert low <= found["accuracy"] <= high


def test_a_failed_or_refused_run_leaves_the_old_one(trained, streams, monkeypatch):
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    with pytest.raises(UsageError, match="exists already"):
        train(streams, trained)
    monkeypatch.setattr(mkl.mkl_runs, "heat_map", lambda facts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(streams, trained, overwrite=True)
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before
    assert [path.name for path in trained.parent.iterdir()] == [trained.name]


def test_wrong_codes_are_refused_in_words(streams, trained, tmp_path):
    flat = write_codes(tmp_path / "flat.h5", blocks=False)
    with pytest.raises(UsageError, match=r"flat.h5 has no pyramid: make its codes with 'vidfeat encode --pyramid L'"):
        train([flat], tmp_path / "R")
    other = write_codes(tmp_path / "other.h5", ids="w{}/{}")
    with pytest.raises(UsageError, match=r"must hold the same items, one stream each; 'v0/left' is only in .*rgb.h5"):
        train([streams[0], other], tmp_path / "R")
    with pytest.raises(UsageError, match=r"--levels is 4, but the pyramid of .*rgb.h5 has 3. Encode with --pyramid 4"):
        train(streams[:1], tmp_path / "R", levels=4)
    with pytest.raises(UsageError, match=r"1 codes file came; the run was trained on 2 \(rgb, flow\)"):
        mkl.predict(MklPredictConfig(run=trained, codes=streams[:1], output=tmp_path / "p.csv"))
    with pytest.raises(UsageError, match=r"feature: x there, y in the run"):
        mkl.predict(MklPredictConfig(run=trained, codes=[streams[0], streams[0]], output=tmp_path / "p.csv"))
    with pytest.raises(UsageError, match=r"needs two groups or more"):
        train([write_codes(tmp_path / "one.h5", groups=1)], tmp_path / "R", leave_one_group_out=True)
    assert not (tmp_path / "R").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"C": "big"}, "--C is 'big'; it must be a number above 0, or auto"),
        ({"levels": 0}, "--levels is 0; it must be above 0"),
        ({"memory": -1}, "--memory is -1; it must be a finite number, 0 or more"),
        ({"memory": float("inf")}, "--memory is inf; it must be a finite number"),
        ({"tolerance": float("inf")}, "--tolerance is inf; it must be finite"),
        ({"gamma": 2.0}, "--gamma 2 has no effect with --kernel linear, only with rbf"),
        ({"split": "a", "leave_one_group_out": True}, "contradict each other"),
        ({"tolerance": 0}, "--tolerance is 0; it must be above 0"),
    ],
)
def test_wrong_options_are_refused_in_words(tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        MklTrainConfig(codes=[tmp_path / "c.h5"], output=tmp_path / "R", **options)
