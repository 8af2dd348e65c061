"""Training on whole videos, from files to results."""

import csv
import json

import numpy as np
import pytest
import torch
from training_set import TINY, train_tiny, write_set

from vidfeat.errors import UsageError
from vidfeat.networks import backbone_network
from vidfeat.stages import encode, end2end_eval, end2end_predict, extract, svm
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.config.end2end import End2EndEvalConfig, End2EndPredictConfig
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.tested import read_tested
from vidfeat.store import open_features
from vidfeat.training import Checkpoint
from vidfeat.weights.files import read_state


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def trained(videos, tmp_path_factory):
    """A run of rank pooling that has learnt to tell the order."""
    output = tmp_path_factory.mktemp("runs") / "RUN"
    summary = train_tiny(videos, output, epochs=15, lr=0.2, dim=16, log_steps=True)
    assert summary.exit_code == 0
    return output


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rank_pooling_learns_an_order_that_averages_cannot_see(trained, videos, tmp_path):
    results = json.loads((trained / "results.json").read_text())
    assert (results["n_train"], results["n_validation"], results["n_test"], results["n_failed"]) == (8, 4, 4, 0)
    assert results["accuracy"] == 1.0
    log = rows_of(trained / "log.csv")
    assert [int(row["epoch"]) for row in log] == list(range(results["epochs"]))
    assert float(log[-1]["loss"]) < 0.5 * float(log[0]["loss"])
    assert {int(row["frames"]) for row in log} == {sum(7 + n % 3 for n in (0, 1, 4, 5)) * 2}
    assert len(rows_of(trained / "steps.csv")) == 3 * len(log)
    assert (trained / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_predictions_hold_test_items_alone_and_validation_has_a_file_of_its_own(trained):
    test = rows_of(trained / "predictions.csv")
    assert [row["id"] for row in test] == ["brighter3.mp4", "brighter7.mp4", "darker3.mp4", "darker7.mp4"]
    assert {row["split"] for row in test} == {"test"}
    assert {row["id"] for row in rows_of(trained / "validation.csv")} == {
        "brighter2.mp4", "brighter6.mp4", "darker2.mp4", "darker6.mp4",
    }  # fmt: skip
    assert read_tested(trained).groups == ["g3", "g7", "g3", "g7"]
    assert end2end_eval.evaluate(End2EndEvalConfig([trained], bootstrap=20)).as_dict()["accuracy"] == 1.0


def test_predict_gives_the_scores_of_the_run(trained, videos, tmp_path):
    config = End2EndPredictConfig(trained, [videos], output=tmp_path / "p.csv", device="cpu", workers=0, chunk=16)
    summary = end2end_predict.predict(config)
    assert summary.exit_code == 0 and len(summary.predictions) == 16
    new = {row["id"]: row for row in rows_of(tmp_path / "p.csv")}
    for row in rows_of(trained / "predictions.csv"):
        assert float(new[row["id"]]["score:darker"]) == pytest.approx(float(row["score:darker"]), abs=1e-6)
    assert [row["split"] for row in new.values()].count("train") == 8


def test_vectors_of_the_trained_network_go_through_encode_and_svm(trained, videos, tmp_path):
    config = End2EndPredictConfig(trained, [videos], vectors=tmp_path / "v.h5", device="cpu", workers=0, chunk=5)
    end2end_predict.predict(config)
    with open_features(tmp_path / "v.h5") as file:
        item = file["darker0.mp4"]
        assert item.shape("frames") == (7, 16)
        np.testing.assert_allclose(item.time, np.arange(7) / 25)
        assert item.labels == ("darker",)
    encode.run(EncodeConfig(features=tmp_path / "v.h5", output=tmp_path / "c.h5", method="rankpool"))
    assert svm.train(svm.SvmTrainConfig(codes=tmp_path / "c.h5", output=tmp_path / "S")).results["accuracy"] == 1.0
    with pytest.raises(UsageError, match="exists already"):
        end2end_predict.predict(config)


def test_a_finished_run_is_left_alone_and_another_one_is_refused(trained, videos):
    before = (trained / "results.json").stat().st_mtime_ns
    again = train_tiny(videos, trained, epochs=15, lr=0.2, dim=16)
    assert again.as_dict()["accuracy"] == 1.0
    assert (trained / "results.json").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match=r"epochs: 15 there, 16 here.*--overwrite to start anew"):
        train_tiny(videos, trained, epochs=16, lr=0.2, dim=16)
    with pytest.raises(UsageError, match=r"pool: \"rankpool\" there, \"max\" here"):
        train_tiny(videos, trained, epochs=15, lr=0.2, dim=16, pool="max")


def test_an_interrupted_run_goes_on_to_the_same_network(videos, tmp_path, monkeypatch):
    from vidfeat.stages import end2end_run

    whole = train_tiny(videos, tmp_path / "A", epochs=3).results

    class StoppedError(Exception):
        pass

    save = end2end_run.RunFolder.save

    def save_and_stop(self, checkpoint, best, model):
        save(self, checkpoint, best, model)
        if checkpoint.epoch == 2:
            raise StoppedError

    monkeypatch.setattr(end2end_run.RunFolder, "save", save_and_stop)
    with pytest.raises(StoppedError):
        train_tiny(videos, tmp_path / "B", epochs=3)
    monkeypatch.undo()
    assert not (tmp_path / "B" / "results.json").exists()
    resumed = train_tiny(videos, tmp_path / "B", epochs=3).results
    assert resumed["accuracy"] == whole["accuracy"]
    a, b = (Checkpoint.read(tmp_path / name / "last.safetensors") for name in "AB")
    assert a.steps == b.steps == 9
    for name, value in a.model.items():
        assert torch.equal(value, b.model[name]), name
    assert len(rows_of(tmp_path / "B" / "log.csv")) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"pool": "avg", "loss": "hinge"},
        {"pool": "max", "class_weights": "balanced"},
        {"pool": "frame", "consensus": "scores"},
        {"pool": "rankpool", "gradient": "diag", "surrogate": 2, "rescale": True},
        {"pool": "pyramid", "levels": 2, "pyramid_width": 4, "pyramids": 2, "validation": "none"},
        {"pool": "spectrogram", "picture_size": 32},
    ],
    ids=lambda options: options["pool"],
)
def test_every_pooling_trains(videos, tmp_path, options):
    summary = train_tiny(videos, tmp_path / "R", epochs=1, **options)
    assert summary.exit_code == 0
    header = rows_of(tmp_path / "R" / "log.csv")[0]
    if options["pool"] == "pyramid":
        values = [float(value) for name, value in header.items() if name.startswith("beta:rgb:1:")]
        assert len(values) == 3 and sum(values) == pytest.approx(1.0)
        assert summary.results["validation"] is None
    model = json.loads((tmp_path / "R" / "model.json").read_text())
    assert model["network"]["pool"] == options["pool"]


def test_two_streams_learn_weights_and_predict(videos, tmp_path):
    options = {"stream": "rgb,flow", "method": "dis", "flow_stack": 3, "size": 32, "smallest_crop": 1.0}
    summary = train_tiny(videos, tmp_path / "R", epochs=1, **options)
    row = rows_of(tmp_path / "R" / "log.csv")[0]
    assert float(row["weight:rgb"]) + float(row["weight:flow"]) == pytest.approx(1.0)
    assert read_state(tmp_path / "R" / "best-flow.safetensors")["0.0.weight"].shape[1] == 6
    config = End2EndPredictConfig(
        tmp_path / "R", [videos], output=tmp_path / "p.csv", vectors=tmp_path / "v.h5", device="cpu", workers=0,
        cache=tmp_path / "R" / "cache",
    )  # fmt: skip
    assert end2end_predict.predict(config).exit_code == 0
    with open_features(tmp_path / "v.h5") as file:
        item = file["darker0.mp4"]
        assert item.shape("frames") == (7, 8) and item.shape("flow.frames") == (4, 8)
    new = {row["id"]: row for row in rows_of(tmp_path / "p.csv")}
    for row in rows_of(tmp_path / "R" / "predictions.csv"):
        assert float(new[row["id"]]["score:darker"]) == pytest.approx(float(row["score:darker"]), abs=1e-5)
    assert summary.results["n_test"] == 4


def test_extract_takes_the_fine_tuned_network(videos, tmp_path):
    own = {"backbone": "squeezenet1_1", "dim": None, "size": 32, "weights": "none", "no_augment": True}
    train_tiny(videos, tmp_path / "R", epochs=1, lr=1e-3, layer="avgpool", **own)
    best = tmp_path / "R" / "best.safetensors"
    given = {"backbone": "squeezenet1_1", "layers": "avgpool", "size": 32, "device": "cpu", "threads": 1}
    config = ExtractConfig(inputs=[videos], output=tmp_path / "f.h5", weights=str(best), **given)
    assert extract.run(config).exit_code == 0
    predict = End2EndPredictConfig(tmp_path / "R", [videos], vectors=tmp_path / "v.h5", device="cpu", workers=0)
    end2end_predict.predict(predict)
    drawn = backbone_network("squeezenet1_1", "avgpool", weights="none", size=32).state_for_extract()
    with open_features(tmp_path / "f.h5") as mine, open_features(tmp_path / "v.h5") as trained:
        a, b = mine["darker0.mp4"]["avgpool"], trained["darker0.mp4"]["frames"]
    assert np.abs(a - b).max() < 1e-5 * np.abs(b).max()
    fine_tuned = read_state(best)
    assert fine_tuned.keys() == drawn.keys()
    assert not torch.equal(fine_tuned["features.0.weight"], drawn["features.0.weight"])


def test_stored_features_train_pooling_and_classifier_alone(trained, videos, tmp_path):
    vectors = End2EndPredictConfig(trained, [videos], vectors=tmp_path / "v.h5", device="cpu", workers=0)
    end2end_predict.predict(vectors)
    from vidfeat.stages import end2end
    from vidfeat.stages.config.end2end import End2EndTrainConfig

    given = {name: TINY[name] for name in ("batch", "schedule", "device")}
    config = End2EndTrainConfig(
        inputs=[videos], output=tmp_path / "F", features=tmp_path / "v.h5", epochs=8, lr=0.5, **given
    )
    assert end2end.train(config).results["accuracy"] == 1.0
    predict = End2EndPredictConfig(tmp_path / "F", [tmp_path / "v.h5"], output=tmp_path / "p.csv", device="cpu")
    end2end_predict.predict(predict)
    assert sum(row["label"] == row["predicted"] for row in rows_of(tmp_path / "p.csv")) >= 15
