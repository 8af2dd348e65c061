"""Training over epochs: the same run again, after a stop, after kill -9, and by two processes."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load, save
from tolerances import FLOAT64
from torch import nn
from training_child import everything, settings

from vidfeat.errors import UsageError, VidfeatError
from vidfeat.training import Checkpoint, NotFiniteError, Schedule, Trainer, Validation, VideoBatch, epoch_plan

HERE = Path(__file__).parent


def state_of(trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.fixture(scope="module")
def straight():
    """(state at the end, history, log records, checkpoints) of a run without a break."""
    torch.set_num_threads(1)
    records, saved = [], []
    trainer, given = everything(log=records.append)
    fitted = trainer.fit(**given, save=lambda checkpoint, best: saved.append((checkpoint, best)), save_seconds=0.0)
    return state_of(trainer), fitted, records, saved


def untimed(record: dict) -> dict:
    return {name: value for name, value in record.items() if "second" not in name}


def child(environment=None, **arguments) -> subprocess.Popen:
    paths = os.pathsep.join([str(HERE), str(HERE.parent), str(HERE.parent.parent)])
    return subprocess.Popen(
        [sys.executable, str(HERE / "training_child.py"), json.dumps(arguments)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_training_learns():
    trainer, given = everything("avg", epochs=40, schedule=Schedule(0.002))
    history = trainer.fit(**given).history
    assert history[-1]["loss"] < 0.5 * history[0]["loss"] and history[-1]["accuracy"] > history[0]["accuracy"]


def test_every_step_and_epoch_is_logged(straight):
    _, fitted, records, _ = straight
    epochs = [record for record in records if record["kind"] == "epoch"]
    steps = [record for record in records if record["kind"] == "step"]
    assert len(epochs) == 3 and len(steps) == 6 and fitted.stopped == "done" and fitted.epochs == 3
    assert fitted.history == tuple(epochs)
    assert [record["videos"] for record in steps] == [3, 4] * 3  # the lone seventh video joined the second step
    assert sum(record["frames"] for record in steps[:2]) == 2 * 31 == epochs[0]["frames"]
    assert epochs[0]["loss"] == pytest.approx((3 * steps[0]["loss"] + 4 * steps[1]["loss"]) / 7)
    assert steps[0]["lr"] == pytest.approx(0.02) and steps[-1]["lr"] == pytest.approx(0.005)
    assert all(sum(epochs[-1]["beta"][name][0]) == pytest.approx(1.0) for name in ("rgb", "flow"))
    assert sum(epochs[-1]["stream_weights"].values()) == pytest.approx(1.0)
    assert epochs[-1]["beta"]["rgb"][0][0] != pytest.approx(1 / 7, abs=1e-6)
    assert fitted.best == max(record["validation"] for record in epochs)
    assert all(0 < record["pooling_seconds"] < record["seconds"] for record in steps)


def test_training_twice_gives_the_same_bits(straight):
    trainer, given = everything()
    trainer.fit(**given)
    assert all(torch.equal(value, straight[0][name]) for name, value in state_of(trainer).items())


def test_another_seed_gives_another_run(straight):
    trainer, given = everything(seed=6)
    trainer.fit(**given)
    assert not all(torch.equal(value, straight[0][name]) for name, value in state_of(trainer).items())


@pytest.mark.parametrize("number", range(6))
def test_resuming_from_any_checkpoint_gives_the_same_run(straight, tmp_path, number):
    final, fitted, _, saved = straight
    assert len(saved) == 9  # after each of six steps and three epochs
    path = tmp_path / "last.safetensors"
    path.write_bytes(saved[number][0].to_bytes())
    state = Checkpoint.read(path)
    assert (state.epoch, state.position) == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)][number]
    trainer, given = everything()
    again = trainer.fit(**given, resume=state)
    assert all(torch.equal(value, final[name]) for name, value in state_of(trainer).items())
    assert [untimed(record) for record in again.history] == [untimed(record) for record in fitted.history]
    assert (again.best, again.best_epoch) == (fitted.best, fitted.best_epoch)


def test_kill_minus_nine_and_resume(straight, tmp_path):
    out = tmp_path / "out"
    killed = child(out=str(out), pools=["pyramid"], kill_at=3)
    assert killed.wait(180) == -signal.SIGKILL, killed.stderr.read()
    state = Checkpoint.read(f"{out}.last")
    assert state.steps == 3 and not Path(f"{out}.pyramid.0").exists()
    trainer, given = everything()
    trainer.fit(**given, resume=state)
    assert all(torch.equal(value, straight[0][name]) for name, value in state_of(trainer).items())


def test_two_processes_give_the_run_of_one(straight, tmp_path):
    """Ragged shares, head with batch norm over all videos, dropout, validation: by two processes of gloo."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    out, pools = str(tmp_path / "out"), ["pyramid", "rankpool", "frame"]
    ranks = [child({**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, out=out, pools=pools) for rank in (0, 1)]
    for rank in ranks:
        assert rank.wait(180) == 0, rank.stderr.read()
    for pool in pools:
        first, second = (Checkpoint.read(f"{out}.{pool}.{rank}") for rank in (0, 1))
        trainer, given = everything(pool)
        history = trainer.fit(**given).history
        for name, value in state_of(trainer).items():
            assert torch.equal(first.model[name], second.model[name]), name
            torch.testing.assert_close(first.model[name], value, rtol=0, atol=FLOAT64)
        for record, expected in zip(first.history, history, strict=True):
            assert record["loss"] == pytest.approx(expected["loss"], rel=FLOAT64)
            assert record["validation"] == expected["validation"] and record["frames"] == expected["frames"]


def test_stop_saves_the_place_and_says_so(straight):
    trainer, given = everything()
    saved, calls = [], []
    fitted = trainer.fit(
        **given, save=lambda *state: saved.append(state), stop=lambda: len(calls) == 3 or calls.append(1)
    )
    assert fitted.stopped == "interrupted" and (saved[-1][0].epoch, saved[-1][0].position) == (1, 1)
    again, given = everything()
    again.fit(**given, resume=saved[-1][0])
    assert all(torch.equal(value, straight[0][name]) for name, value in state_of(again).items())


def bad_clip(trainer, given, at: int):
    """Make the video of one step hold what no network can take."""
    inner = given["train"]

    def train(epoch, first):
        for position, batch in enumerate(inner(epoch, first), start=first):
            if (epoch, position) == (at // 2, at % 2):
                clips = {name: [clip.double() * math.inf for clip in clips] for name, clips in batch.clips.items()}
                batch = VideoBatch(batch.ids, batch.numbers, clips, batch.targets)
            yield batch

    return {**given, "train": train}


@pytest.mark.parametrize("pool", ["pyramid", "rankpool"])
def test_a_loss_that_is_not_finite_stops_with_the_state_before(pool):
    saved = []
    trainer, given = everything(pool)
    with pytest.raises(NotFiniteError, match=r"frame vectors of 'v\d' are NaN or infinite in epoch 1, step 1.*smaller"):
        trainer.fit(**bad_clip(trainer, given, 3), save=lambda *state: saved.append(state))
    last = saved[-1][0]
    assert (last.epoch, last.position, last.steps) == (1, 1, 3)
    assert all(bool(torch.isfinite(value).all()) for value in last.model.values())
    again, given = everything(pool)
    assert again.fit(**given, resume=last).stopped == "done"


def test_a_learning_rate_that_is_too_large_is_found():
    trainer, given = everything(schedule=Schedule(1e200), warmup=0.0, momentum=0.0)
    with pytest.raises(NotFiniteError, match="NaN or infinite"):
        trainer.fit(**given)


def test_early_stopping():
    # Steps too small to change any decision: the first epoch stays the best.
    trainer, given = everything(epochs=9, patience=2, schedule=Schedule(1e-12))
    fitted = trainer.fit(**given)
    assert (fitted.stopped, fitted.epochs, fitted.best_epoch) == ("early", 3, 0)


def test_there_is_a_best_epoch_even_if_no_validation_score_is_finite(monkeypatch):
    trainer, given = everything()
    monkeypatch.setattr(trainer, "_score", lambda validation: None)
    saved = []
    fitted = trainer.fit(**given, save=lambda checkpoint, best: saved.append(best))
    assert (fitted.best_epoch, fitted.best) == (0, None)
    assert saved == [True, False, False]


def test_nothing_to_train_is_refused():
    with pytest.raises(UsageError, match=r"nothing is left to train: .* by 0 \(--frame-lr\).* by 0 \(--head-lr\)"):
        everything(frame_factor=0.0, head_factor=0.0)


def test_the_logged_rate_is_that_of_the_first_stream():
    records = []
    trainer, given = everything("avg", schedules={"rgb": Schedule(0.003)}, log=records.append, warmup=0.0, epochs=1)
    trainer.fit(**given)
    assert {record["lr"] for record in records} == {0.003}


def test_factors_leave_parts_as_they_are():
    trainer, given = everything(frame_factor=0.0, epochs=1)
    before = state_of(trainer)
    trainer.fit(**given)
    for name, value in state_of(trainer).items():
        if ".frames." in name:
            assert torch.equal(value, before[name]), name
    assert not torch.equal(trainer.model.fusion, before["fusion"])
    assert not torch.equal(trainer.model.streams["rgb"].classifier.weight, before["streams.rgb.classifier.weight"])


def test_a_step_is_that_of_torch_with_clipping_decay_and_momentum():
    trainer, given = everything("avg", epochs=1, batch=7, warmup=0.0, clip=0.01, weight_decay=0.1)
    other, _ = everything("avg", epochs=1, batch=7, warmup=0.0)
    order = epoch_plan(7, 7, 5, 0)[0]
    videos = tiny.part(tiny.batch((5, 2, 9, 1, 4, 7, 3), ("rgb", "flow")), order)
    other.stepper.two_pass.backward(videos, 5, 0, 7)
    values = dict(other.model.named_parameters())
    norm = sum(float(value.grad.square().sum()) for value in values.values()) ** 0.5
    assert norm > 0.01
    expected = {}
    for name, value in values.items():
        decay = 0.0 if name == "fusion" else 0.1
        expected[name] = value.detach() - 0.02 * (value.grad * 0.01 / (norm + 1e-6) + decay * value.detach())
    trainer.fit(**given)
    for name, value in trainer.model.named_parameters():
        torch.testing.assert_close(value.detach(), expected[name], rtol=0, atol=FLOAT64)


def test_failed_videos_are_counted_and_an_empty_step_is_no_step():
    trainer, given = everything(epochs=1)
    inner = given["train"]

    def train(epoch, first):
        for position, batch in enumerate(inner(epoch, first), start=first):
            chosen = tiny.part(batch, []) if position == 0 else batch
            yield VideoBatch(
                chosen.ids, chosen.numbers, chosen.clips, chosen.targets, [("v9", "no frame")] * (3 - 3 * position)
            )

    (record,) = trainer.fit(**{**given, "train": train}).history
    assert (record["failed"], record["videos"]) == (3, 4)


def test_too_few_steps_are_an_error():
    trainer, given = everything(epochs=1)
    with pytest.raises(VidfeatError, match="epoch 0 has 5 steps, but only 2 came"):
        trainer.fit(**{**given, "steps": 5})


def test_prediction_says_which_videos_came():
    trainer, _ = everything()
    videos = tiny.batch((5, 2, 9), ("rgb", "flow"))
    scores, seen = trainer.predict([tiny.part(videos, [2]), tiny.part(videos, [0])], 4)
    assert seen.tolist() == [True, False, True, False] and scores.shape == (4, tiny.CLASSES)
    assert scores[2].sum() == pytest.approx(1.0) and not scores[1].any()


def test_validation_without_videos_is_an_error():
    trainer, given = everything(epochs=1)
    nothing = Validation(list, torch.tensor([0, 1]))
    with pytest.raises(UsageError, match="no validation video could be read"):
        trainer.fit(**{**given, "validation": nothing})


def test_hinge_is_validated_by_mean_average_precision():
    net = tiny.model("avg", "hinge")
    videos = tiny.batch((5, 2, 9), hinge=True)
    trainer = Trainer(net, settings(epochs=1, batch=3))
    fitted = trainer.fit(lambda epoch, first: [videos], 1, Validation(lambda: [videos], videos.targets))
    assert 0 < fitted.best <= 1 and fitted.history[0]["loss"] > 0


def test_checkpoints_refuse_what_they_do_not_fit(straight, tmp_path):
    state = straight[3][0][0]
    with pytest.raises(UsageError, match=r"momentum was 0\.9, is 0\.5.*Restore them, or start anew"):
        everything(momentum=0.5)[0].restore(state)
    trainer, _ = everything("rankpool")
    with pytest.raises(
        UsageError, match=r"does not fit the network: unexpected: streams\.flow\.pool.*Use the backbone"
    ):
        trainer.restore(state)
    other = tiny.model("pyramid", streams=("rgb", "flow"))
    other.streams["rgb"].classifier = nn.Linear(28, 4)
    with pytest.raises(UsageError, match=r"classifier\.bias is 3 instead of 4"):
        state.load_model(other)
    path = tmp_path / "c.safetensors"
    with pytest.raises(UsageError, match="does not exist"):
        Checkpoint.read(path)
    path.write_bytes(state.to_bytes()[:-50])
    with pytest.raises(UsageError, match=r"cannot be read: .*Use an older one"):
        Checkpoint.read(path)
    path.write_bytes(save({"a": torch.zeros(1)}))
    with pytest.raises(UsageError, match="is no checkpoint of a training run"):
        Checkpoint.read(path)


def test_a_checkpoint_is_plain_safetensors(straight):
    tensors = load(straight[3][0][0].to_bytes())
    assert "model.streams.rgb.frames.body.0.weight" in tensors and "momentum.fusion" in tensors
