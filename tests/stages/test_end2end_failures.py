"""What goes wrong while a video network is trained: files, numbers, processes, folders."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from tolerances import TWO_RANKS
from training_set import TINY_FLAGS, train_tiny, write_set

from vidfeat.datasets.items import Item
from vidfeat.errors import ItemError, UsageError
from vidfeat.media.sampling import Sampling
from vidfeat.media.transforms import Geometry
from vidfeat.stages import end2end_eval, end2end_predict, end2end_run
from vidfeat.stages.config.end2end import End2EndEvalConfig, End2EndPredictConfig
from vidfeat.stages.end2end_decode import DecodePlan
from vidfeat.stages.end2end_supply import Supply
from vidfeat.stages.end2end_worker import ProcessWorker
from vidfeat.stages.failures import Failure
from vidfeat.training import Checkpoint, NotFiniteError

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("set"))


def plan_for(folder):
    return DecodePlan(folder, {"x": 1}, Sampling(), Geometry("keep", shorter_side=16, size=None))


def test_videos_that_cannot_be_decoded_are_left_out_counted_and_listed(tmp_path):
    manifest = write_set(tmp_path)
    (tmp_path / "brighter0.mp4").write_text("no video")
    (tmp_path / "darker3.mp4").unlink()
    summary = train_tiny(manifest, tmp_path / "R")
    assert summary.exit_code == 1
    assert (summary.results["n_train"], summary.results["n_test"], summary.results["n_failed"]) == (7, 3, 2)
    with (tmp_path / "R.failures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["state"]) for row in rows] == [("brighter0.mp4", "failed"), ("darker3.mp4", "failed")]
    assert all(row["reason"] for row in rows)
    with (tmp_path / "R" / "log.csv").open(newline="") as file:
        assert [row["failed"] for row in csv.DictReader(file)] == ["1", "1"]
    predicted = end2end_predict.predict(End2EndPredictConfig(tmp_path / "R", [manifest], device="cpu", workers=0))
    assert predicted.exit_code == 1 and len(predicted.predictions) == 14


def test_a_video_that_is_lost_between_two_epochs_is_left_out_from_then_on(tmp_path, monkeypatch):
    manifest = write_set(tmp_path)
    save = end2end_run.RunFolder.save

    def save_and_break(self, checkpoint, best, model):
        save(self, checkpoint, best, model)
        (tmp_path / "darker1.mp4").write_text("gone")

    monkeypatch.setattr(end2end_run.RunFolder, "save", save_and_break)
    summary = train_tiny(manifest, tmp_path / "R", epochs=3)
    assert summary.exit_code == 1
    assert [failure.id for failure in summary.failures] == ["darker1.mp4"]
    with (tmp_path / "R" / "log.csv").open(newline="") as file:
        assert [row["videos"] for row in csv.DictReader(file)] == ["8", "7", "7"]


def test_no_readable_training_video_is_an_error(tmp_path):
    manifest = write_set(tmp_path, count=4)
    for path in tmp_path.glob("*.mp4"):
        path.write_text("no video")
    with pytest.raises(UsageError, match=r"No (training|validation) video could be read"):
        train_tiny(manifest, tmp_path / "R", validation="none")


def test_a_loss_that_is_not_finite_stops_with_the_state_before(videos, tmp_path):
    with pytest.raises(NotFiniteError, match=r"NaN or infinite in epoch .*last\.safetensors has that state") as caught:
        train_tiny(videos, tmp_path / "R", lr=1e30, epochs=5, pool="avg")
    assert caught.value.exit_code == 3
    kept = Checkpoint.read(tmp_path / "R" / "last.safetensors")
    assert all(torch.isfinite(value).all() for value in kept.model.values())
    assert not (tmp_path / "R" / "results.json").exists()
    with pytest.raises(UsageError, match=r"is not finished\. Give its 'vidfeat end2end train' command again"):
        end2end_predict.predict(End2EndPredictConfig(tmp_path / "R", [videos], device="cpu"))
    with pytest.raises(UsageError, match=r"is not finished\. Give its 'vidfeat end2end train' command again"):
        end2end_eval.evaluate(End2EndEvalConfig([tmp_path / "R"]))
    assert train_tiny(videos, tmp_path / "R", epochs=1, overwrite=True, pool="avg").exit_code == 0


def test_a_folder_of_something_else_is_left_alone(videos, tmp_path):
    (tmp_path / "R").mkdir()
    (tmp_path / "R" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"is not a run of 'vidfeat end2end train' \(it holds 'thesis.tex'\)"):
        train_tiny(videos, tmp_path / "R", overwrite=True)
    with pytest.raises(UsageError, match="is a file; give the name of a folder"):
        train_tiny(videos, tmp_path / "R" / "thesis.tex")
    with pytest.raises(UsageError, match=r"is not a run: it has no model\.json\. 'vidfeat end2end train' writes one"):
        end2end_predict.predict(End2EndPredictConfig(tmp_path / "R", [videos], device="cpu"))
    with pytest.raises(UsageError, match=r"is not a run: it has no results\.json\. 'vidfeat end2end train' writes one"):
        end2end_eval.evaluate(End2EndEvalConfig([tmp_path / "R"]))
    with pytest.raises(UsageError, match=r"is not a run: there is no such folder\. 'vidfeat end2end train' writes one"):
        end2end_eval.evaluate(End2EndEvalConfig([tmp_path / "none"]))


def test_two_runs_do_not_write_one_folder(videos, tmp_path):
    held = end2end_run.RunFolder(tmp_path / "R")
    held.open({"epochs": 1}, False)
    try:
        with pytest.raises(UsageError, match="is being written by process"):
            train_tiny(videos, tmp_path / "R")
    finally:
        held.close()
    assert not (tmp_path / "R.lock").exists()


def test_several_devices_are_for_torchrun(videos, tmp_path):
    with pytest.raises(UsageError, match="names several; one process trains on one device"):
        train_tiny(videos, tmp_path / "R", device="cpu,cpu")


def test_tensorboard_that_is_not_installed_is_said_before_work_begins(videos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UsageError, match="--tensorboard needs the package tensorboard"):
        train_tiny(videos, tmp_path / "R", tensorboard=True)
    assert not (tmp_path / "R").exists()


def test_a_decoding_process_that_dies_costs_one_video(videos, tmp_path):
    worker, outcome = ProcessWorker(plan_for(tmp_path)), []
    first, second = (Item(id=name, path=videos.parent / name) for name in ("darker0.mp4", "darker1.mp4"))

    def decode():
        try:
            outcome.append(worker.decode(second))
        except ItemError as error:
            outcome.append(str(error))

    try:
        assert worker.decode(first) == ""
        pid = worker._process.pid
        os.kill(pid, signal.SIGSTOP)
        thread = threading.Thread(target=decode)
        thread.start()
        time.sleep(0.2)
        os.kill(pid, signal.SIGKILL)
        thread.join(timeout=30)
        assert outcome == ["the process that decoded it died (exit code -9)"]
        assert worker.decode(second) == ""  # in a new one
    finally:
        worker.close()


def test_a_supply_in_spawned_processes_decodes_what_is_asked_for_first(videos, tmp_path):
    items = [Item(id=path.name, path=path) for path in sorted(videos.parent.glob("*.mp4"))]
    items.append(Item(id="none.mp4", path=tmp_path / "none.mp4"))
    with Supply(items, plan_for(tmp_path), 1) as supply:
        supply.expect(item.id for item in items)
        last = supply.get(items[-2].id)
        assert last.arrays["rgb"].shape[1:] == (16, 21, 3)
        missing = supply.get("none.mp4")
        assert isinstance(missing, Failure) and missing.state == "failed"
        assert supply.get("none.mp4") is missing
    assert list(supply.failures) == ["none.mp4"]


def test_kill_and_the_same_command_again_give_the_network_of_an_undisturbed_run(videos, tmp_path):
    options = {"epochs": 8, "validation": "none"}
    train_tiny(videos, tmp_path / "A", **options)
    command = [sys.executable, "-m", "vidfeat.cli.main", "end2end", "train", videos, "-o", tmp_path / "B", *TINY_FLAGS,
               "--epochs", "8", "--validation", "none", "--no-flip", "-q"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(list(map(str, command)), env=environment, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not (tmp_path / "B" / "log.csv").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert (tmp_path / "B" / "last.safetensors").exists()
    assert not (tmp_path / "B" / "results.json").exists(), "it was done before it could be killed"
    train_tiny(videos, tmp_path / "B", **options)
    a, b = (Checkpoint.read(tmp_path / name / "last.safetensors") for name in "AB")
    assert a.steps == b.steps == 24
    for name, value in a.model.items():
        assert torch.equal(value, b.model[name]), name


def test_two_processes_of_torchrun_train_the_network_of_one(videos, tmp_path):
    train_tiny(videos, tmp_path / "A", no_augment=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0",
               "--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0", "-m", "vidfeat.cli.main", "end2end", "train",
               videos, "-o", tmp_path / "B", *TINY_FLAGS, "--epochs", "2", "--no-augment", "--no-flip"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    a, b = (Checkpoint.read(tmp_path / name / "last.safetensors") for name in "AB")
    assert a.steps == b.steps
    for name, value in a.model.items():
        torch.testing.assert_close(b.model[name], value, atol=TWO_RANKS, rtol=0, msg=name)
    one, two = ((tmp_path / name / "predictions.csv").read_text().count("\n") for name in "AB")
    assert one == two == 5
