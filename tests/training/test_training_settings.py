"""Schedules, presets, the order of videos, and class weights."""

import json
from itertools import pairwise

import pytest
import torch

from vidfeat.errors import UsageError
from vidfeat.training import PRESETS, Schedule, Settings, World, balanced_weights, epoch_plan, preset, share
from vidfeat.training.batch import frames_of, packed, rows_of


def rates(settings: Settings, stream: str) -> list[float]:
    return [settings.rate(stream, epoch, 0, 1) for epoch in range(settings.epochs)]


def test_icml2016_goes_from_a_hundredth_to_a_ten_thousandth_in_sixty_epochs():
    used = preset("icml2016")
    found = rates(used, "rgb")
    assert len(found) == 60 and (used.weight_decay, used.batch) == (5e-4, 1)
    assert found[0] == pytest.approx(0.01) and found[-1] == pytest.approx(1e-4)
    ratios = [after / before for before, after in pairwise(found)]
    assert max(ratios) == pytest.approx(min(ratios))


@pytest.mark.parametrize(
    ("name", "epochs", "every", "at"),
    [
        ("pyramid-ucf101", 130, 25, (80, 110)),
        ("pyramid-hmdb51", 100, 20, (60, 80)),
        ("pyramid-jhmdb21", 65, 10, (50, 60)),
    ],
)
def test_the_printed_schedules_of_the_pyramids(name, epochs, every, at):
    used = preset(name)
    assert used.epochs == epochs
    assert rates(used, "rgb") == pytest.approx([1e-3 / 10 ** (epoch // every) for epoch in range(epochs)])
    expected = [5e-3 / (1 if epoch < at[0] else 10 if epoch < at[1] else 100) for epoch in range(epochs)]
    assert rates(used, "flow") == pytest.approx(expected)
    assert rates(used, "") == rates(used, "rgb")


def test_presets_can_be_changed_and_are_plain_values():
    used = preset("icml2016", batch=4, seed=3)
    assert (used.batch, used.seed, PRESETS["icml2016"].batch) == (4, 3, 1)
    for settings in (used, preset("pyramid-ucf101")):
        plain = settings.as_dict()
        assert json.loads(json.dumps(plain)) == plain
    with pytest.raises(UsageError, match="unknown preset 'icml'; allowed are icml2016, pyramid-ucf101"):
        preset("icml")


def test_warm_up_rises_from_nothing_step_by_step():
    used = Settings(epochs=4, schedule=Schedule(0.1), warmup=1.5)
    found = [used.rate("", epoch, step, 2) for epoch in range(2) for step in range(2)]
    assert found == pytest.approx([0.1 / 3, 0.2 / 3, 0.1, 0.1])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Schedule(0.0), "lr=0.0 is not allowed: a learning rate is a finite number > 0"),
        (lambda: Schedule(0.1, "cosine"), "schedule 'cosine' is unknown. Allowed: constant, log, steps"),
        (lambda: Schedule(0.1, "log"), "needs the learning rate at its end"),
        (lambda: Schedule(0.1, "steps"), "the epochs of its steps or their distance"),
        (lambda: Settings(epochs=0), "epochs=0 is not allowed: at least 1"),
        (lambda: Settings(momentum=1.0), "momentum=1.0 is not allowed: 0 ≤ momentum < 1"),
        (lambda: Settings(weight_decay=-1.0), "weight_decay=-1.0 is not allowed"),
        (lambda: Settings(clip=0.0), "clip=0.0 is not allowed"),
        (lambda: Settings(patience=0), "patience=0 is not allowed"),
        (lambda: epoch_plan(0, 1, 0, 0), "0 videos in steps of 1"),
    ],
)
def test_bad_settings_are_refused(make, words):
    with pytest.raises(UsageError) as caught:
        make()
    assert words in str(caught.value)


@pytest.mark.parametrize(("n", "batch", "sizes"), [(7, 3, [3, 4]), (8, 3, [3, 3, 2]), (3, 1, [1, 1, 1]), (1, 4, [1])])
def test_an_epoch_takes_every_video_once(n, batch, sizes):
    plan = epoch_plan(n, batch, 0, 0)
    assert [len(step) for step in plan] == sizes
    assert sorted(number for step in plan for number in step) == list(range(n))
    assert plan == epoch_plan(n, batch, 0, 0)
    parts = [share(plan[0], rank, 2) for rank in (0, 1)]
    assert sorted(parts[0] + parts[1]) == sorted(plan[0]) and abs(len(parts[0]) - len(parts[1])) <= 1


def test_the_order_changes_with_epoch_and_seed():
    orders = {tuple(epoch_plan(50, 50, seed, epoch)[0]) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def test_class_weights_make_classes_equal():
    found = balanced_weights(torch.tensor([0, 0, 0, 1]), 2)
    assert found.tolist() == pytest.approx([4 / 6, 2.0])
    assert balanced_weights(torch.tensor([[1, 0], [1, 1], [1, 0]]), 2).tolist() == pytest.approx([4 / 6, 2.0])
    with pytest.raises(UsageError, match=r"class 1 has no training video \(1 of 3 classes"):
        balanced_weights(torch.tensor([0, 2]), 3)


@pytest.mark.parametrize(("step", "first"), [(1, 0), (3, 0), (3, 2), (9, 8)])
@pytest.mark.parametrize("most", [1, 4, 100])
def test_chunks_hold_every_frame_once_in_order(most, step, first):
    lengths = (5, 1, 12)
    clips = [torch.arange(length) + 100 * video for video, length in enumerate(lengths)]
    chunks = packed(lengths, most, step, first)
    assert all(sum(map(len, chunk)) == most for chunk in chunks[:-1])
    frames = [int(frame) for chunk in chunks for frame in frames_of(chunk, clips)]
    assert frames == [t + 100 * video for video, length in enumerate(lengths) for t in range(first, length, step)]
    rows = [int(row) for chunk in chunks for row in rows_of(chunk, lengths)]
    everything = torch.cat(clips)
    assert everything[rows].tolist() == frames


def test_a_world_needs_all_of_torchruns_variables(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert World.from_env("cpu") == World.single("cpu")
    monkeypatch.setenv("RANK", "0")
    for name in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        UsageError, match="WORLD_SIZE, MASTER_ADDR, MASTER_PORT is not: several processes are started by"
    ):
        World.from_env("cpu")
