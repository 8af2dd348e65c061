"""``vidfeat predict`` with runs of ``svm``, ``mkl`` and ``fuse``, with features in place of videos, and other runs."""

import csv
import json
import shutil

import numpy as np
import pytest
from judged_runs import write_judged
from small import run_small, write_clips
from videos import write_video

from vidfeat.errors import UsageError
from vidfeat.stages import encode, fuse, mkl, predict, svm
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.config.files import PredictConfig
from vidfeat.stages.config.fusion import FuseConfig
from vidfeat.stages.config.mkl import MklPredictConfig, MklTrainConfig
from vidfeat.stages.config.svm import SvmPredictConfig, SvmTrainConfig
from vidfeat.stages.trained import check_same_codes
from vidfeat.store import open_codes


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with videos, features, codes of two streams, and a run of mkl and of svm on both."""
    folder = tmp_path_factory.mktemp("made")
    run_small([write_clips(folder / "videos")], folder / "feats.h5")
    codes = [folder / "avg.h5", folder / "max.h5"]
    for path, method in zip(codes, ("avg", "max"), strict=True):
        encode.run(EncodeConfig(features=folder / "feats.h5", output=path, method=method, pyramid=2))
    ids = [f"{name}/v{n}.mp4" for n, name in enumerate("aabbcc")]
    rows = [f"{item_id},g{n % 2},{'train' if n % 2 else 'test'}" for n, item_id in enumerate(ids)]
    (folder / "m.csv").write_text("id,group,split1\n" + "\n".join(rows) + "\n")
    given = {"codes": codes, "C": "1", "manifest": folder / "m.csv"}
    mkl.train(MklTrainConfig(output=folder / "M", merge_labels="ab=a,b", **given))
    svm.train(SvmTrainConfig(output=folder / "S", **given))
    for path in codes:
        svm.train(SvmTrainConfig(output=folder / f"S-{path.stem}", **{**given, "codes": [path]}))
    members = [folder / "S-avg", folder / "S-max"]
    fuse.run(FuseConfig(runs=members, output=folder / "F", weights="1,3"))
    return folder


def rows_of(path):
    with path.open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("name", ["M", "S", "F"])
def test_videos_and_features_get_the_scores_of_the_run(made, tmp_path, name, caplog):
    tested = rows_of(made / name / "predictions.csv")
    for inputs in ([made / "videos"], [made / "feats.h5"]):
        found = predict.run(PredictConfig(run=made / name, inputs=inputs, output=tmp_path / "p.csv", device="cpu"))
        again = rows_of(tmp_path / "p.csv")
        assert found.exit_code == 0 and len(found.predictions) == len(again) == 6
        for item_id, row in tested.items():
            assert (again[item_id]["label"], again[item_id]["predicted"]) == (row["label"], row["predicted"])
            for column in (key for key in row if key.startswith("score:")):
                assert float(again[item_id][column]) == pytest.approx(float(row[column]), abs=1e-3)
    assert [row["split"] for row in again.values()].count("train") == 3
    assert "3 of 6 items were in the training part" in caplog.text


def test_either_command_scores_codes_with_either_run(made, tmp_path):
    codes = [made / "avg.h5", made / "max.h5"]
    mkl.predict(MklPredictConfig(run=made / "S", codes=codes, output=tmp_path / "m.csv"))
    svm.predict(SvmPredictConfig(run=made / "S", codes=codes, output=tmp_path / "s.csv"))
    assert (tmp_path / "m.csv").read_bytes() == (tmp_path / "s.csv").read_bytes()
    svm.predict(SvmPredictConfig(run=made / "M", codes=codes, output=tmp_path / "s.csv"))
    assert {row["label"] for row in rows_of(tmp_path / "s.csv").values()} == {"ab", "c"}


def test_other_features_are_refused_and_say_what_differs(made, tmp_path):
    run_small([made / "videos"], tmp_path / "other.h5", size=48)
    with pytest.raises(UsageError, match=r"None of the files was \(.*other\.h5: .*size: 32 there, 48 here"):
        predict.run(PredictConfig(run=made / "M", inputs=[tmp_path / "other.h5"]))
    with pytest.raises(UsageError, match=r"feats\.h5 and .*videos came: give features files alone, or videos alone"):
        predict.run(PredictConfig(run=made / "M", inputs=[made / "videos", made / "feats.h5"]))
    copy = tmp_path / "copy.h5"
    copy.write_bytes((made / "feats.h5").read_bytes())
    with pytest.raises(UsageError, match=r"feats\.h5 and .*copy\.h5 were made in the same way; give one of them"):
        predict.run(PredictConfig(run=made / "M", inputs=[made / "feats.h5", copy]))


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("vidfeat-end2end", "R is a run of 'vidfeat end2end': use 'vidfeat end2end predict'"),
        ("strange", r"R/model\.json is 'strange' version None; this vidfeat reads 'vidfeat-svm' version 1 and 2"),
    ],
)
def test_runs_without_a_model_for_codes_are_refused(made, tmp_path, form, words):
    write_judged(tmp_path / "R", np.eye(3), list("abc"))
    (tmp_path / "R" / "model.json").write_text(json.dumps({"format": form}))
    with pytest.raises(UsageError, match=words):
        predict.run(PredictConfig(run=tmp_path / "R", inputs=[made / "videos"]))
    with pytest.raises(UsageError, match=words):
        mkl.predict(MklPredictConfig(run=tmp_path / "R", codes=[made / "avg.h5"], output=tmp_path / "p.csv"))


def test_the_runs_of_a_fusion_are_found_beside_it_and_missed_in_words(made, tmp_path):
    for name in ("F", "S-avg", "S-max"):
        shutil.copytree(made / name, tmp_path / name)
    meta = json.loads((tmp_path / "F" / "model.json").read_text())
    meta["runs"] = [f"elsewhere/{name}" for name in ("S-avg", "S-max")]
    (tmp_path / "F" / "model.json").write_text(json.dumps(meta))
    given = {"inputs": [made / "feats.h5"], "top": 5}
    assert (
        predict.run(PredictConfig(run=tmp_path / "F", **given)).predictions
        == predict.run(PredictConfig(run=made / "F", **given)).predictions
    )
    shutil.rmtree(tmp_path / "S-max")
    with pytest.raises(UsageError, match=r"a fusion of elsewhere/S-max, among others, .* Put the runs side by side"):
        predict.run(PredictConfig(run=tmp_path / "F", **given))
    with pytest.raises(UsageError, match="is a fusion: 'vidfeat predict' takes it, with videos or features"):
        svm.predict(SvmPredictConfig(run=tmp_path / "F", codes=[made / "avg.h5"], output=tmp_path / "p.csv"))


def test_runs_of_a_fusion_that_cannot_score_are_refused_before_any_work(made, tmp_path, monkeypatch):
    for name in ("F", "S-avg", "S-max"):
        shutil.copytree(made / name, tmp_path / name)
    fused = json.loads((tmp_path / "F" / "model.json").read_text())
    asked = PredictConfig(run=tmp_path / "F", inputs=[made / "videos"])
    monkeypatch.setattr("vidfeat.stages.extract.run", lambda config: pytest.fail("it began to work"))

    def refused(words, **changed):
        (tmp_path / "F" / "model.json").write_text(json.dumps({**fused, **changed}))
        with pytest.raises(UsageError, match=words):
            predict.run(asked)

    elsewhere = {"runs": ["no/S-avg", "no/S-max"]}
    refused("has other classes than when .*F was fused", **elsewhere, classes=["a", "b"])
    refused("S-avg came 2 times", runs=["no/S-avg", "other/S-avg"], fingerprints=None)
    predictions = tmp_path / "S-max" / "predictions.csv"
    predictions.write_text(predictions.read_text().replace("score:a", "score:a "))
    refused("S-max is not the run that .*F was fused from: it was trained anew. Fuse the runs again", **elsewhere)
    (tmp_path / "S-max" / "model.json").write_text(json.dumps({"format": "vidfeat-end2end"}))
    refused("S-max is a run of 'vidfeat end2end'", **elsewhere, fingerprints=None)
    # A run of weight 0 is not needed.
    (tmp_path / "F" / "model.json").write_text(json.dumps({**fused, **elsewhere, "weights": [1.0, 0.0]}))
    found = predict.run(PredictConfig(run=tmp_path / "F", inputs=[made / "feats.h5"], top=3)).predictions
    alone = predict.run(PredictConfig(run=made / "S-avg", inputs=[made / "feats.h5"], top=3)).predictions
    assert [entry["predicted"] for entry in found] == [entry["predicted"] for entry in alone]


def test_items_that_no_features_have_in_common(tmp_path):
    files, videos = (predict._Work(tmp_path, given, {}, {}) for given in ({tmp_path: "f"}, {}))
    assert predict._common([["c", "a", "b"], ["b", "c"]], files) == (["b", "c"], [[2, 0], [0, 1]])
    with pytest.raises(UsageError, match="have no item in common: give those of the same items, one for each set"):
        predict._common([["a"], ["b"]], files)
    for found, work in (([["a"], ["b"]], videos), ([["a"], []], files)):
        assert predict._common(found, work) == ([], [[], []])  # the failures say why


def test_features_that_were_imported_are_asked_for(made, tmp_path):
    for path in (made / "M").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    meta = json.loads((tmp_path / "model.json").read_text())
    meta["streams"][1]["provenance"]["extraction"] = None
    (tmp_path / "model.json").write_text(json.dumps(meta))
    with pytest.raises(UsageError, match=r"of the stream max were imported, .* or encode them and use 'vidfeat mkl"):
        predict.run(PredictConfig(run=tmp_path, inputs=[made / "videos"]))
    found = predict.run(PredictConfig(run=tmp_path, inputs=[made / "feats.h5"]))
    assert len(found.predictions) == 6


@pytest.mark.parametrize("content", [b"", b"\x00\x00\x00\x18ftypmp42", b"id,path,label\na,a.mp4,b\n"])
def test_other_files_are_never_replaced_by_predictions(made, tmp_path, content):
    output = tmp_path / "new.mp4"
    output.write_bytes(content)
    for stage, config in (
        (svm.predict, SvmPredictConfig(run=made / "S", codes=[made / "avg.h5", made / "max.h5"], output=output)),
        (mkl.predict, MklPredictConfig(run=made / "M", codes=[made / "avg.h5", made / "max.h5"], output=output)),
        (predict.run, PredictConfig(run=made / "S", inputs=[made / "videos"], output=output, device="cpu")),
    ):
        with pytest.raises(UsageError, match=r"exists and is not a table of predictions.*Choose another name"):
            stage(config)
    assert output.read_bytes() == content


def test_codes_of_other_options_are_refused_by_naming_those_that_differ():
    made = {"features_fingerprint": "f", "feature": "x", "encode": {"method": "avg", "C": 2.0}}
    other = {**made, "encode": {"method": "rankpool", "C": 2.0}}
    with pytest.raises(UsageError, match=r"\(method: rankpool there, avg in the run\)"):
        check_same_codes(made, other, "c.h5")
    check_same_codes(made, dict(made), "c.h5")


def test_from_a_new_video_to_its_label_with_two_encodings(clips, features, tmp_path):
    manifest = tmp_path / "m.csv"
    rows = [f"{label}/v{n}.mp4,{label},g{n},{'test' if n == 5 else 'train'}" for n, label in enumerate("aabbcc")]
    manifest.write_text("id,label,group,split\n" + "\n".join(rows) + "\n")
    made = []
    for method in ("avg", "max"):
        made.append(tmp_path / f"{method}.h5")
        encode.run(EncodeConfig(features=features, output=made[-1], method=method, manifest=manifest))
    given = {"C": "10", "kernel": "rbf", "probabilities": True}
    svm.train(SvmTrainConfig(codes=made, output=tmp_path / "R", **given))
    new = tmp_path / "new clip.mp4"
    write_video(new, 11, width=80, height=64)
    answer = predict.run(
        PredictConfig(run=tmp_path / "R", inputs=[new], output=tmp_path / "p.csv", device="cpu", top=3)
    )
    assert (answer.exit_code, [entry["id"] for entry in answer.predictions]) == (0, ["new clip.mp4"])
    run_small([new], tmp_path / "n.h5")
    for method in ("avg", "max"):
        encode.run(EncodeConfig(features=tmp_path / "n.h5", output=tmp_path / f"new-{method}.h5", method=method))
    run = svm.runs.read_run(tmp_path / "R")
    codes = []
    for method in ("avg", "max"):
        with open_codes(tmp_path / f"new-{method}.h5") as stored:
            codes.append(stored.codes().astype(np.float64))
    scores = run.scores(codes)
    entry = answer.predictions[0]
    for name, value in entry["scores"].items():
        assert value == pytest.approx(scores[0]["abc".index(name)], abs=1e-4)
    assert sum(entry["probabilities"].values()) == pytest.approx(1)
    assert "probability:a" in (tmp_path / "p.csv").read_text()
    assert json.loads((tmp_path / "R" / "model.json").read_text())["version"] == 2
