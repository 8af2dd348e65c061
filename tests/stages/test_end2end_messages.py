"""What the options of a run become: schedules, and words where they do not fit together."""

from pathlib import Path

import pytest

from vidfeat.errors import UsageError
from vidfeat.stages.config.end2end import End2EndTrainConfig
from vidfeat.stages.end2end_record import warn_of_guessing
from vidfeat.stages.end2end_run import log_table
from vidfeat.stages.end2end_settings import resolved_end, training_settings
from vidfeat.training import PRESETS


def settings(**options):
    return training_settings(End2EndTrainConfig(inputs=[Path("a.csv")], output=Path("R"), **options))


def test_a_preset_is_taken_as_it_is_and_single_options_change_it():
    assert settings() == PRESETS["icml2016"]
    found = settings(preset="pyramid-ucf101", epochs=7, batch=3, frame_lr=0.1, seed=4)
    assert (found.epochs, found.batch, found.frame_factor, found.seed) == (7, 3, 0.1, 4)
    assert found.schedules == PRESETS["pyramid-ucf101"].schedules


def test_a_learning_rate_that_was_given_is_that_of_all_streams():
    found = settings(preset="pyramid-ucf101", lr=0.02)
    assert found.schedule.lr == 0.02 and dict(found.schedules) == {}


def test_schedules():
    assert settings(lr_end=1e-3).rate("", 59, 0, 1) == pytest.approx(1e-3)
    assert settings(lr=1.0).rate("", 59, 0, 1) == pytest.approx(0.01)  # as far down as 0.01 to 1e-4
    other = settings(preset="pyramid-ucf101", lr=1.0, schedule="log")
    assert other.rate("", other.epochs - 1, 0, 1) == pytest.approx(0.01)
    steps = settings(schedule="steps", lr=1.0, lr_at="2,4")
    assert [round(steps.rate("", epoch, 0, 1), 6) for epoch in range(6)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    assert settings(schedule="constant", lr=0.5).rate("", 40, 0, 1) == 0.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schedule": "constant", "lr_end": 0.1}, "--lr-end 0.1 has no effect with --schedule constant, only with log"),
        ({"schedule": "log", "lr_at": "3"}, "--lr-at 3 has no effect with --schedule log, only with steps"),
        ({"schedule": "steps"}, "--schedule steps needs the epochs of the steps: --lr-at 30,50"),
    ],
)
def test_schedules_that_do_not_fit_are_refused_with_words(options, words):
    with pytest.raises(UsageError, match=words):
        settings(**options)


def test_the_log_has_a_column_for_every_learnt_weight():
    names = "epoch steps videos frames failed loss accuracy lr best pooling_seconds data_seconds seconds"
    record = dict.fromkeys([*names.split(), "frames_per_second"], 1) | {"validation": None}
    record |= {"stream_weights": {"rgb": 0.4, "flow": 0.6}, "beta": {"flow": [[0.2, 0.3, 0.5]]}}
    header, (row,) = log_table([record])
    found = dict(zip(header, row, strict=True))
    assert (found["weight:flow"], found["beta:flow:0:2"], found["validation"]) == (0.6, 0.5, "")


def test_a_training_that_never_was_better_than_guessing_says_so(caplog):
    for loss, epochs in (("hinge", [9.0]), ("ce", []), ("ce", [2.0, 1.0]), ("ce", [1.0, 2.0])):
        warn_of_guessing([{"loss": value} for value in epochs], loss, 4)
    assert not caplog.records
    warn_of_guessing([{"loss": 1.6}, {"loss": 1.5}], "ce", 4)
    assert "never fell below the 1.386 = ln 4 of guessing (least: 1.500). Try another --lr" in caplog.text


def test_a_resumed_run_must_share_the_end_of_a_rate_that_follows_from_another():
    config = End2EndTrainConfig(inputs=[Path("a.csv")], output=Path("R"), lr=0.1)
    assert resolved_end(config, training_settings(config)) == {"lr-end": pytest.approx(1e-3)}
    for options in ({}, {"lr": 0.1, "lr_end": 0.1}, {"lr": 0.1, "schedule": "constant"}):
        config = End2EndTrainConfig(inputs=[Path("a.csv")], output=Path("R"), **options)
        assert resolved_end(config, training_settings(config)) == {}
