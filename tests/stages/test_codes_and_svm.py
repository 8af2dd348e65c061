"""From codes to a classifier and back to a new video, through the stages."""

import csv
import errno
import json

import numpy as np
import pytest
from small import run_small
from videos import write_video

from vidfeat.classify.svm import LibSVC
from vidfeat.errors import StorageError, UsageError
from vidfeat.stages import encode, import_, predict, svm
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.config.files import ImportConfig, PredictConfig
from vidfeat.stages.config.svm import SvmEvalConfig, SvmPredictConfig, SvmTrainConfig
from vidfeat.store import CodesWriter, fs, open_codes

CLASSES = ("left", "right", "still")


def write_codes(path, *, groups=6, noise=0.3, labels=None, splits=True):
    """Codes of three separable classes, one item per class and group; the first half of the groups is training."""
    random = np.random.Generator(np.random.PCG64(0))
    provenance = {"features": {}, "features_fingerprint": "f", "feature": "x", "encode": {}, "extraction": None}
    with CodesWriter(path, provenance) as codes:
        for group in range(groups):
            for number, name in enumerate(CLASSES):
                code = np.eye(8)[number] + noise * random.standard_normal(8) + 5.0
                split = {"split1": "train" if group < groups // 2 else "test"} if splits else {}
                own = (name,) if labels is None else labels(number, group)
                codes.append(f"g{group}/{name}", {"default": code}, own, f"g{group}", split)
    return path


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    return write_codes(tmp_path_factory.mktemp("codes") / "codes.h5")


@pytest.fixture(scope="module")
def trained(codes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "RUN"
    svm.train(SvmTrainConfig(codes=codes, output=folder))
    return folder


def test_train_writes_the_files_of_a_run(trained):
    results = json.loads((trained / "results.json").read_text())
    assert (results["n_train"], results["n_test"], results["split"]) == (9, 9, "split1")
    assert results["accuracy"] == 1.0
    assert set(results) >= {
        "split", "n_train", "n_test", "accuracy", "mean_per_class_accuracy", "map", "hit", "per_class", "confusion",
        "classes", "config", "train_ids_sha256",
    }  # fmt: skip
    assert np.trace(results["confusion"]) == 9
    with (trained / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert list(rows[0]) == ["id", "split", "label", "predicted", *(f"score:{name}" for name in CLASSES)]
    assert all(row["label"] == row["predicted"] for row in rows)


def test_libsvm_reads_the_model_files_and_gives_the_same_scores(trained, codes):
    from libsvm.svmutil import svm_load_model, svm_predict

    run = svm.runs.read_run(trained)
    with open_codes(codes) as stored:
        rows = stored.codes("default").astype(np.float64)
    ours = run.scores(rows)
    for number in range(len(CLASSES)):
        model = svm_load_model(str(trained / f"class-{number:04d}.libsvm"))
        _, _, values = svm_predict([0] * len(rows), [dict(enumerate(row, 1)) for row in rows.tolist()], model, "-q")
        np.testing.assert_allclose(np.ravel(values), ours[:, number], rtol=1e-8, atol=1e-8)


def test_predict_on_codes_gives_the_scores_of_training(trained, codes, tmp_path, caplog):
    svm.predict(SvmPredictConfig(run=trained, codes=codes, output=tmp_path / "p.csv"))
    assert "9 of 18 items were in the training part" in caplog.text
    with (tmp_path / "p.csv").open(newline="") as file:
        again = {row["id"]: row for row in csv.DictReader(file)}
    with (trained / "predictions.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert float(again[row["id"]]["score:left"]) == pytest.approx(float(row["score:left"]), abs=1e-9)


def test_eval_gives_the_same_figures_and_intervals_around_them(trained):
    found = svm.evaluate(SvmEvalConfig(runs=[trained], bootstrap=200)).as_dict()
    results = json.loads((trained / "results.json").read_text())
    for name in ("accuracy", "mean_per_class_accuracy", "map"):
        assert found[name] == results[name]
        low, high = found["intervals"][name]
        assert low <= found[name] <= high


def test_leave_one_group_out_predicts_every_item_without_its_group(tmp_path):
    # All items of a group are of one class, drawn at random, and a group's own constant dominates its codes: a model
    # that saw the group's other items knows the answer, and one that did not can only guess.
    random = np.random.Generator(np.random.PCG64(3))
    groups = np.repeat(np.arange(24), 3)
    y = random.permutation(24)[groups] % 3
    rows = (10 * random.standard_normal((24, 32))[groups] + random.standard_normal((72, 32))).astype(np.float32)
    path = tmp_path / "c.h5"
    with CodesWriter(path, {}) as codes:
        for number, (group, row) in enumerate(zip(groups, rows, strict=True)):
            codes.append(f"v{number:02d}", {"default": row}, (CLASSES[y[number]],), f"g{group}")
    results = svm.train(SvmTrainConfig(codes=path, output=tmp_path / "R", leave_one_group_out=True, C="1")).as_dict()
    assert (results["n_test"], results["split"]) == (72, "leave-one-group-out")
    assert results["accuracy"] < 0.6
    rows = rows.astype(np.float64)
    alone = [np.arange(72) == i for i in range(72)]
    leaking = [LibSVC(C=1.0).fit(rows[~own], y[~own]).class_scores(rows[own]).argmax() for own in alone]
    assert np.mean(leaking == y) > 0.9
    _, _, scores, _ = svm.runs.read_predictions(tmp_path / "R")
    for group in (0, 7):
        test = groups == group
        oracle = LibSVC(C=1.0).fit(rows[~test], y[~test]).class_scores(rows[test])
        np.testing.assert_allclose(scores[test], oracle, atol=1e-6)


def test_merge_labels_joins_classes(tmp_path):
    path = write_codes(tmp_path / "c.h5")
    options = {"codes": path, "output": tmp_path / "R", "C": "1"}
    results = svm.train(SvmTrainConfig(**options, merge_labels="moving=left,right")).as_dict()
    assert results["classes"] == ["moving", "still"]
    assert results["per_class"]["moving"]["n"] == 6
    with pytest.raises(UsageError, match=r"no item has the label 'up'; labels are left, right, still"):
        svm.train(SvmTrainConfig(**options, merge_labels="x=up", overwrite=True))
    with pytest.raises(UsageError, match="not of the form NEW=A,B"):
        svm.train(SvmTrainConfig(**options, merge_labels="up", overwrite=True))


def test_joined_classes_are_remembered_for_new_labels(tmp_path):
    path = write_codes(tmp_path / "c.h5", noise=0.05)
    svm.train(SvmTrainConfig(codes=path, output=tmp_path / "R", C="100", merge_labels="moving=left,right"))
    svm.predict(SvmPredictConfig(run=tmp_path / "R", codes=path, output=tmp_path / "p.csv"))
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"moving", "still"}
    assert all(row["label"] == row["predicted"] for row in rows)


def test_several_labels_per_item_are_ranked(tmp_path):
    path = write_codes(
        tmp_path / "c.h5", labels=lambda number, group: ("all" if group % 2 else "even", CLASSES[number])
    )
    results = svm.train(SvmTrainConfig(codes=path, output=tmp_path / "R")).as_dict()
    assert results["classes"] == ["all", "even", "left", "right", "still"]
    assert results["per_class"]["left"]["ap"] == 1.0
    assert results["hit"]["5"] == 1.0


def test_a_test_label_never_seen_counts_as_an_error_and_is_said(tmp_path, caplog):
    def odd(number, group):
        return ("odd",) if (number, group) == (0, 5) else (CLASSES[number],)

    path = write_codes(tmp_path / "c.h5", labels=odd)
    results = svm.train(SvmTrainConfig(codes=path, output=tmp_path / "R")).as_dict()
    assert "no training item has count as errors: odd" in caplog.text
    assert results["accuracy"] == pytest.approx(8 / 9)
    assert np.sum(results["confusion"]) == 8


def test_test_items_without_a_label_are_left_out_and_counted(tmp_path, caplog):
    path = write_codes(tmp_path / "c.h5", labels=lambda number, group: (CLASSES[number],) if group < 5 else ())
    results = svm.train(SvmTrainConfig(codes=path, output=tmp_path / "R")).as_dict()
    assert "3 of 9 test items have no label and are left out" in caplog.text
    assert (results["n_test"], results["accuracy"], results["mean_per_class_accuracy"]) == (6, 1.0, 1.0)
    assert svm.evaluate(SvmEvalConfig(runs=[tmp_path / "R"], bootstrap=50)).as_dict()["accuracy"] == 1.0
    path = write_codes(tmp_path / "c.h5", labels=lambda number, group: (CLASSES[number],) if group < 3 else ())
    with pytest.raises(UsageError, match="None of the 9 test items has a label"):
        svm.train(SvmTrainConfig(codes=path, output=tmp_path / "R", overwrite=True))


def test_imported_features_are_groups_of_their_own(tmp_path):
    """From .npy files and a manifest without paths or groups to a classifier that chose C by cross-validation."""
    (tmp_path / "npy").mkdir()
    random = np.random.Generator(np.random.PCG64(0))
    lines = ["id,label,split"]
    for number in range(16):
        name, part = CLASSES[number % 2], "train" if number < 10 else "test"
        rows = 0.1 * random.standard_normal((5, 4)) + np.eye(4)[number % 2]
        np.save(tmp_path / "npy" / f"v{number:02d}.npy", rows.astype(np.float32))
        lines.append(f"v{number:02d},{name},{part}")
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    import_.run(ImportConfig(sources=[tmp_path / "npy"], output=tmp_path / "f.h5"))
    encode.run(EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5"))
    config = SvmTrainConfig(codes=tmp_path / "c.h5", output=tmp_path / "R", manifest=tmp_path / "m.csv")
    assert svm.train(config).as_dict()["accuracy"] == 1.0
    assert svm.runs.read_json(tmp_path / "R", "model.json")["test_groups"] == [f"v{n}" for n in range(10, 16)]
    blank = (tmp_path / "m.csv").read_text().replace("split\n", "split,group\n").replace("train\n", "train,\n")
    (tmp_path / "blank.csv").write_text(blank.replace("test\n", "test,one\n"))
    config = EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5", manifest=tmp_path / "blank.csv")
    encode.run(config)
    with open_codes(tmp_path / "c.h5") as codes:
        assert codes.groups == [f"v{n:02d}" for n in range(10)] + ["one"] * 6


@pytest.mark.parametrize("with_encode", [True, False])
def test_imported_segments_of_one_recording_stay_together(tmp_path, with_encode):
    """A manifest without a column for groups still says which file an item is from."""
    (tmp_path / "npy").mkdir()
    lines = ["id,path,label"]
    for number in range(8):
        np.save(tmp_path / "npy" / f"v{number}.npy", np.eye(4)[[number % 2] * 3] + 0.01 * number)
        lines.append(f"v{number},film{number // 4}.avi,{CLASSES[number % 2]}")
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    import_.run(ImportConfig(sources=[tmp_path / "npy"], output=tmp_path / "f.h5"))
    manifest = {"manifest": tmp_path / "m.csv"}
    encode.run(EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5", **(manifest if with_encode else {})))
    given = {} if with_encode else manifest
    svm.train(SvmTrainConfig(codes=tmp_path / "c.h5", output=tmp_path / "R", leave_one_group_out=True, C="1", **given))
    groups = svm.runs.read_json(tmp_path / "R", "model.json")["test_groups"]
    assert groups == ["film0.avi"] * 4 + ["film1.avi"] * 4


def test_several_runs_are_judged_side_by_side(trained, codes, tmp_path, caplog):
    svm.train(SvmTrainConfig(codes=codes, output=tmp_path / "G", leave_one_group_out=True, C="1"))
    both = svm.evaluate(SvmEvalConfig(runs=[trained, tmp_path / "G"], bootstrap=100)).as_dict()["runs"]
    assert "not tested on the same items" in caplog.text
    assert [entry["run"] for entry in both] == [str(trained), str(tmp_path / "G")]
    alone = svm.evaluate(SvmEvalConfig(runs=[trained], bootstrap=100)).as_dict()
    assert both[0] == {"run": str(trained), **alone}


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("id,label,group,split\ng0/left,a,s,train\ng1/left,b,t,train\ng2/left,a,s,test\n", "share 1 group: 's'"),
        ("id,label,group,split\ng0/left,a,s,train\ng1/left,a,t,train\ng2/left,a,u,test\n", "class 'a'"),
        ("id,label,group,split\ng0/left,a,s,train\ng1/left,b,t,train\n", "no test items"),
        ("id,label,group,split\ng0/left,a,s,train\ng1/left,,t,train\ng2/left,a,u,test\n", "no label"),
        ("id,label,group,split\ng0/left,a,s,train\ng1/left,b,s,train\ng2/left,a,u,test\n", "--C"),
        ("id,label\nnothing,a\n", "None of the 1 ids"),
    ],
)
def test_splits_that_cannot_be_judged_are_refused(codes, tmp_path, manifest, words):
    path = tmp_path / "m.csv"
    path.write_text(manifest)
    with pytest.raises(UsageError, match=words):
        svm.train(SvmTrainConfig(codes=codes, output=tmp_path / "R", manifest=path, split="split"))
    assert not (tmp_path / "R").exists()


def test_wrong_splits_sets_and_folders_are_refused(codes, trained, tmp_path):
    out = tmp_path / "R"
    with pytest.raises(UsageError, match="no split 'split9'; they have split1"):
        svm.train(SvmTrainConfig(codes=codes, output=out, split="split9"))
    with pytest.raises(UsageError, match="no set 'x'; it has default"):
        svm.train(SvmTrainConfig(codes=codes, output=out, set="x"))
    with pytest.raises(UsageError, match="exists already"):
        svm.train(SvmTrainConfig(codes=codes, output=trained))
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    with pytest.raises(
        UsageError, match=r"R holds 'thesis\.tex', which is no part of a run of svm, mkl or fuse, so --overwrite leaves"
    ):
        svm.train(SvmTrainConfig(codes=codes, output=out, overwrite=True))
    assert (out / "thesis.tex").read_text() == "precious"
    with pytest.raises(UsageError, match="is not a run: it has no"):
        svm.evaluate(SvmEvalConfig(runs=[tmp_path]))
    with pytest.raises(UsageError, match="must be a number above 0, or auto"):
        SvmTrainConfig(codes=codes, output=out, C="-1")


def test_overwriting_a_run_leaves_its_neighbours_alone(codes, tmp_path):
    for name in ("RUN.old", "RUN.new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        svm.train(SvmTrainConfig(codes=codes, output=tmp_path / "RUN", C="1", overwrite=overwrite))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["RUN", "RUN.new", "RUN.old"]
    assert all((tmp_path / name / "thesis.tex").read_text() == "precious" for name in ("RUN.old", "RUN.new"))
    (tmp_path / "other").mkdir()
    assert (tmp_path / "RUN").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_run_that_cannot_be_replaced_stays(codes, tmp_path, monkeypatch):
    config = {"codes": codes, "output": tmp_path / "RUN", "C": "1"}
    svm.train(SvmTrainConfig(**config))
    before = (tmp_path / "RUN" / "model.json").read_bytes()
    rename = fs.rename

    def refuse(source, target):
        if source.name == "new":
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(fs, "rename", refuse)
    with pytest.raises(StorageError, match="RUN: No space left on device"):
        svm.train(SvmTrainConfig(**config, overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == ["RUN"]
    assert (tmp_path / "RUN" / "model.json").read_bytes() == before


def test_outputs_into_missing_folders_are_refused_before_any_work(codes, trained, tmp_path, monkeypatch):
    lost = tmp_path / "no" / "such"

    def work(*arguments):
        raise AssertionError("work began")

    for name in ("stages.svm.read_labelled", "stages.trained.read_trained", "stages.extract.run"):
        monkeypatch.setattr(f"vidfeat.{name}", work)
    with pytest.raises(UsageError, match="does not exist"):
        svm.train(SvmTrainConfig(codes=codes, output=lost))
    with pytest.raises(UsageError, match="does not exist"):
        svm.predict(SvmPredictConfig(run=trained, codes=codes, output=lost))
    with pytest.raises(UsageError, match="does not exist"):
        predict.run(PredictConfig(run=trained, inputs=[tmp_path], output=lost))
    with pytest.raises(UsageError, match="is a folder; give the name of a file"):
        svm.predict(SvmPredictConfig(run=trained, codes=codes, output=tmp_path))


def test_from_a_new_video_to_its_label(clips, features, tmp_path):
    manifest = tmp_path / "m.csv"
    rows = [f"{label}/v{n}.mp4,{label},g{n},train" for n, label in enumerate("aabbcc")]
    manifest.write_text("id,label,group,split\n" + "\n".join(rows[:5]) + "\n" + rows[5].replace("train", "test") + "\n")
    encode.run(EncodeConfig(features=features, output=tmp_path / "c.h5", method="rankpool", manifest=manifest))
    svm.train(SvmTrainConfig(codes=tmp_path / "c.h5", output=tmp_path / "R", C="10"))
    new = tmp_path / "new clip.mp4"
    write_video(new, 11, width=80, height=64)
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    config = PredictConfig(run=tmp_path / "R", inputs=[new, broken], output=tmp_path / "p.csv", device="cpu")
    answer = predict.run(config)
    assert (answer.exit_code, [failure.id for failure in answer.failures]) == (1, ["broken.mp4"])
    assert [entry["id"] for entry in answer.predictions] == ["new clip.mp4"]
    # The same file through the long way gives the same scores.
    run_small([new], tmp_path / "n.h5")
    encode.run(EncodeConfig(features=tmp_path / "n.h5", output=tmp_path / "nc.h5", method="rankpool"))
    with open_codes(tmp_path / "nc.h5") as codes:
        scores = svm.runs.read_run(tmp_path / "R").scores(codes.codes("default"))[0]
    for name, value in answer.predictions[0]["scores"].items():
        assert value == pytest.approx(scores["abc".index(name)], abs=1e-5)
    assert (tmp_path / "p.csv").read_text().startswith("id,split,label,predicted,score:a")


def test_predict_needs_features_of_its_own_making(trained, tmp_path):
    with pytest.raises(UsageError, match="were imported"):
        predict.run(PredictConfig(run=trained, inputs=[tmp_path / "x.mp4"]))


def test_predict_on_codes_of_another_encoding_is_refused(trained, tmp_path):
    with CodesWriter(tmp_path / "c.h5", {"features_fingerprint": "other", "feature": "x", "encode": {}}) as codes:
        codes.append("a", {"default": np.ones(8)})
    with pytest.raises(UsageError, match="features_fingerprint: other there, f in the run"):
        svm.predict(SvmPredictConfig(run=trained, codes=tmp_path / "c.h5", output=tmp_path / "p.csv"))
