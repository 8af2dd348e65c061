"""From features to codes to a classifier and back to a new video, through the stages."""

import csv
import json

import numpy as np
import pytest
from small import run_small
from videos import write_video

import vidfeat
from vidfeat.errors import UsageError
from vidfeat.stages import encode, predict, svm
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.config.files import PredictConfig
from vidfeat.stages.config.svm import SvmEvalConfig, SvmPredictConfig, SvmTrainConfig
from vidfeat.store import CodesWriter, FeatureWriter, open_codes

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


def test_encode_of_an_average_is_the_normalised_mean(features, tmp_path):
    encode.run(EncodeConfig(features=features, output=tmp_path / "c.h5"))
    with vidfeat.open_features(features) as stored, open_codes(tmp_path / "c.h5") as codes:
        assert list(codes.ids) == stored.ids
        assert [tuple(own) for own in codes.labels] == [stored[i].labels for i in stored.ids]
        for row, item_id in zip(codes.codes("default"), stored.ids, strict=True):
            mean = stored[item_id]["avgpool"].astype(np.float64).mean(0)
            np.testing.assert_allclose(row, mean / np.linalg.norm(mean), rtol=1e-5, atol=1e-7)
        assert codes.provenance["features_fingerprint"] == stored.fingerprint


@pytest.mark.parametrize(
    ("options", "width", "nodes"),
    [({"method": "max"}, 1, 1), ({"method": "rankpool", "direction": "both"}, 2, 1), ({"pyramid": 3}, 7, 7),
     ({"method": "rankpool", "map": "posneg", "pyramid": 2}, 6, 3)],
)  # fmt: skip
def test_encode_writes_codes_of_the_right_width_and_blocks(features, tmp_path, options, width, nodes):
    summary = encode.run(EncodeConfig(features=features, output=tmp_path / "c.h5", **options))
    with open_codes(tmp_path / "c.h5") as codes:
        table = codes.codes("default")
        assert table.shape == (6, summary.dimension) == (6, width * 1000)
        assert [block[0] for block in codes.blocks("default")] == list(range(nodes))
        assert codes.blocks("default")[-1][2] == summary.dimension
        assert np.isfinite(table).all()


def test_rank_pooling_of_maps_says_how_to_get_vectors(clips, tmp_path):
    run_small([clips / "b"], tmp_path / "f.h5", layers="features.1")
    with pytest.raises(UsageError, match="--map-pool"):
        encode.run(EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5", method="rankpool"))
    assert not (tmp_path / "c.h5").exists()


def test_an_item_without_the_feature_fails_alone(tmp_path):
    with FeatureWriter(tmp_path / "f.h5", {}, {}) as writer:
        for item_id, name in (("a", "fc7"), ("b", "fc6"), ("c", "fc7")):
            item = writer.item(item_id)
            item.append(name, np.ones((3, 4), np.float32))
            item.append("time", np.arange(3.0))
            item.append("frame", np.arange(3))
            item.finish({"state": "done"})
    summary = encode.run(EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5", feature="fc7"))
    assert (summary.items, summary.exit_code) == (2, 1)
    assert summary.failures[0].id == "b"
    assert "fc6" in (tmp_path / "c.h5.failures.csv").read_text()


def test_a_manifest_replaces_only_the_columns_it_has(features, tmp_path):
    manifest = tmp_path / "labels.csv"
    manifest.write_text("id,label\na/v0.mp4,new\nb/v2.mp4,old|new\nnot/there.mp4,x\n")
    encode.run(EncodeConfig(features=features, output=tmp_path / "c.h5", manifest=manifest))
    with open_codes(tmp_path / "c.h5") as codes:
        assert list(codes.ids) == ["a/v0.mp4", "b/v2.mp4"]
        assert [tuple(own) for own in codes.labels] == [("new",), ("old", "new")]
        assert list(codes.groups) == ["a/v0.mp4", "b/v2.mp4"]


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
    found = svm.evaluate(SvmEvalConfig(run=trained, bootstrap=200)).as_dict()
    results = json.loads((trained / "results.json").read_text())
    for name in ("accuracy", "mean_per_class_accuracy", "map"):
        assert found[name] == results[name]
        low, high = found["intervals"][name]
        assert low <= found[name] <= high


def test_leave_one_group_out_predicts_every_item_without_its_group(tmp_path):
    # Every group has a constant of its own in the code; a model that saw the group's other items could use nothing
    # else to separate them, and labels are random within groups, so honest accuracy is chance.
    path = write_codes(tmp_path / "c.h5", groups=8, noise=0.2)
    results = svm.train(SvmTrainConfig(codes=path, output=tmp_path / "R", leave_one_group_out=True, C="1")).as_dict()
    assert (results["n_test"], results["split"]) == (24, "leave-one-group-out")
    assert results["accuracy"] > 0.9
    with open_codes(path) as stored:
        rows, groups = stored.codes("default").astype(np.float64), list(stored.groups)
        y = np.array([CLASSES.index(own[0]) for own in stored.labels])
    from vidfeat.classify.svm import LibSVC

    ids, _, scores, _ = svm.runs.read_predictions(tmp_path / "R")
    for group in ("g0", "g5"):
        test = np.array([own == group for own in groups])
        oracle = LibSVC(C=1.0).fit(rows[~test], y[~test]).class_scores(rows[test])
        np.testing.assert_allclose(scores[test], oracle, atol=1e-6)
    assert len(ids) == 24


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
    with pytest.raises(UsageError, match="not a run of vidfeat svm"):
        svm.train(SvmTrainConfig(codes=codes, output=out, overwrite=True))
    assert (out / "thesis.tex").read_text() == "precious"
    with pytest.raises(UsageError, match="is not a run: it has no"):
        svm.evaluate(SvmEvalConfig(run=tmp_path))
    with pytest.raises(UsageError, match="must be a number above 0, or auto"):
        SvmTrainConfig(codes=codes, output=out, C="-1")


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
