"""What a run of training finds in its folder, and in the cache, when it goes on."""

import csv
import sys
import types

import numpy as np
import pytest
from training_set import train_tiny, write_set

from vidfeat.datasets.items import Item
from vidfeat.errors import UsageError
from vidfeat.media.sampling import Sampling
from vidfeat.media.transforms import Geometry
from vidfeat.networks import make_pool
from vidfeat.stages import end2end, end2end_input, end2end_run
from vidfeat.stages.end2end_clips import CENTRE
from vidfeat.stages.end2end_decode import DecodePlan
from vidfeat.stages.end2end_input import FeatureSource
from vidfeat.stages.end2end_supply import Supply
from vidfeat.stages.end2end_worker import ProcessWorker
from vidfeat.store import FeatureWriter, open_features
from vidfeat.store.frames_cache import CachedItem


class StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("set"))


def stop_after(monkeypatch, epoch: int, then=lambda checkpoint: None) -> None:
    """Let the next run stop when it has saved that many epochs."""
    save = end2end_run.RunFolder.save

    def save_and_stop(self, checkpoint, best, model):
        save(self, checkpoint, best, model)
        if checkpoint.epoch == epoch:
            raise StoppedError

    monkeypatch.setattr(end2end_run.RunFolder, "save", save_and_stop)


def steps_of(folder) -> list[int]:
    with (folder / "steps.csv").open(newline="") as file:
        return [int(row["steps"]) for row in csv.DictReader(file)]


def test_the_log_of_steps_goes_on_where_it_was(videos, tmp_path, monkeypatch):
    stop_after(monkeypatch, 2)
    with pytest.raises(StoppedError):
        train_tiny(videos, tmp_path / "R", epochs=3, log_steps=True, pool="avg")
    assert steps_of(tmp_path / "R") == [1, 2, 3, 4, 5, 6]
    # A step that was logged, but is not in the state: the run will take it again.
    with (tmp_path / "R" / "steps.csv").open("a") as file:
        header = (tmp_path / "R" / "steps.csv").read_text().splitlines()[0].split(",")
        file.write(",".join("7" if name == "steps" else "0" for name in header) + "\n")
    monkeypatch.undo()
    train_tiny(videos, tmp_path / "R", epochs=3, log_steps=True, pool="avg")
    assert steps_of(tmp_path / "R") == list(range(1, 10))


def test_tensorboard_keeps_all_that_was_logged_up_to_the_state(videos, tmp_path, monkeypatch):
    writers = []

    class Writer:
        def __init__(self, folder, purge_step=None):
            self.purge_step, self.seen = purge_step, []
            writers.append(self)

        def add_scalar(self, name, value, step):
            self.seen.append(step)

        def close(self):
            pass

    monkeypatch.setitem(sys.modules, "tensorboard", types.ModuleType("tensorboard"))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    with monkeypatch.context() as context:
        stop_after(context, 1)
        with pytest.raises(StoppedError):
            train_tiny(videos, tmp_path / "R", tensorboard=True, pool="avg")
    train_tiny(videos, tmp_path / "R", tensorboard=True, pool="avg")
    first, second = writers
    # TensorBoard drops what it has of ``purge_step`` and later.
    assert first.purge_step is None and max(first.seen) == 3
    assert second.purge_step == min(second.seen) == 4


def test_a_run_that_was_killed_before_it_wrote_anything_goes_on(videos, tmp_path):
    (tmp_path / "R" / "cache").mkdir(parents=True)
    (tmp_path / "R" / "tensorboard").mkdir()
    (tmp_path / "R" / ".run.json.1.tmp").write_text("{")
    (tmp_path / "R" / ".last.safetensors.1.tmp").write_text("half of it")
    with pytest.raises(UsageError, match=r"is not a run of .* \(it holds '.last.safetensors.1.tmp'\)"):
        train_tiny(videos, tmp_path / "R", pool="avg")
    (tmp_path / "R" / ".last.safetensors.1.tmp").unlink()
    assert train_tiny(videos, tmp_path / "R", epochs=1, pool="avg").exit_code == 0
    assert not list((tmp_path / "R").glob(".*"))


def test_a_run_that_goes_on_removes_what_a_killed_one_left_half_written(videos, tmp_path, monkeypatch):
    stop_after(monkeypatch, 1)
    with pytest.raises(StoppedError):
        train_tiny(videos, tmp_path / "R", pool="avg")
    monkeypatch.undo()
    (tmp_path / "R" / ".last.safetensors.1.tmp").write_text("half of it")
    train_tiny(videos, tmp_path / "R", pool="avg")
    assert not list((tmp_path / "R").glob(".*"))


def test_a_run_goes_on_with_as_many_frames_at_once_as_in_the_end(videos, tmp_path, monkeypatch):
    save = end2end_run.RunFolder.save

    def save_halved_and_stop(self, checkpoint, best, model):
        object.__setattr__(checkpoint, "chunk", 5)
        save(self, checkpoint, best, model)
        raise StoppedError

    monkeypatch.setattr(end2end_run.RunFolder, "save", save_halved_and_stop)
    with pytest.raises(StoppedError):
        train_tiny(videos, tmp_path / "R", chunk=None, pool="avg")
    monkeypatch.undo()
    seen = []
    trainer = end2end.Trainer
    monkeypatch.setattr(end2end, "Trainer", lambda *given: seen.append(given[1].chunk) or trainer(*given))
    train_tiny(videos, tmp_path / "R", chunk=None, pool="avg")
    assert seen == [5]


def test_no_process_is_started_for_videos_that_are_in_the_cache(videos, tmp_path, monkeypatch):
    items = [Item(id=path.name, path=path) for path in sorted(videos.parent.glob("*.mp4"))[:2]]
    plan = DecodePlan(tmp_path, {"x": 1}, Sampling(), Geometry("keep", shorter_side=16, size=None))
    with Supply(items, plan, 0) as supply:
        assert all(isinstance(supply.get(item.id), CachedItem) for item in items)
    monkeypatch.setattr(ProcessWorker, "decode", lambda self, item: pytest.fail("a process was asked"))
    with Supply(items, plan, 1) as supply:
        supply.expect(item.id for item in items)
        assert supply._await(items[1].id) == ""
        assert supply._await(items[0].id) == ""


def test_a_validation_video_that_failed_is_not_counted(tmp_path):
    manifest = write_set(tmp_path)
    (tmp_path / "darker2.mp4").write_text("no video")
    results = train_tiny(manifest, tmp_path / "R", epochs=1, pool="avg").results
    assert (results["n_validation"], results["n_failed"]) == (3, 1)


def test_stored_vectors_that_are_pooled_make_room_for_others(tmp_path, monkeypatch):
    with FeatureWriter(tmp_path / "f.h5", {}, {}, overwrite=True) as writer:
        for number in range(3):
            found = writer.item(f"v{number}")
            found.append("frames", np.full((10, 4), number, np.float32))
            found.append("time", np.arange(10.0))
            found.append("frame", np.arange(10))
            found.finish({"state": "done"})
    monkeypatch.setattr(end2end_input, "_KEPT_BYTES", 10 * 4 * 4)
    with open_features(tmp_path / "f.h5") as file:
        source = FeatureSource(file, {"rgb": "frames"})
        items = [Item(id=f"v{number}", path=None) for number in range(3)]
        first = source.clips(items[0], CENTRE)["rgb"]
        assert source.clips(items[0], CENTRE)["rgb"] is first
        assert source.clips(items[1], CENTRE)["rgb"] is not source.clips(items[1], CENTRE)["rgb"]  # no room
        like = first[:1]
        assert first.reduced(make_pool("avg", 4), like).tolist() == [0.0] * 4
        assert source._room == 9 * 4 * 4
        other = source.clips(items[2], CENTRE)["rgb"]
        other.reduced(make_pool("max", 4), like)
        assert source._room == 9 * 4 * 4
