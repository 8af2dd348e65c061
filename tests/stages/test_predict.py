"""``vidfeat predict`` with runs of ``mkl``, with features in place of videos, and with runs that have no model."""

import csv
import json

import numpy as np
import pytest
from judged_runs import write_judged
from small import run_small, write_clips

from vidfeat.errors import UsageError
from vidfeat.stages import encode, mkl, predict, svm
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.config.files import PredictConfig
from vidfeat.stages.config.mkl import MklPredictConfig, MklTrainConfig
from vidfeat.stages.config.svm import SvmPredictConfig, SvmTrainConfig
from vidfeat.stages.trained import check_same_codes


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
    return folder


def rows_of(path):
    with path.open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("name", ["M", "S"])
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
        ("vidfeat-fusion", "R is a fusion, which has no model of its own: predict with each of its runs"),
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
