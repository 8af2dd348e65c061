"""Errors of the flow package in the words of the command line."""

import pytest

from vidfeat.errors import UsageError
from vidfeat.flow import flow_method
from vidfeat.flow.methods import method_settings
from vidfeat.flow.tvl1_flow import choose_backend
from vidfeat.stages.flow_request import said_as_flags, with_flags


@pytest.mark.parametrize(
    ("method", "settings", "own", "flags"),
    [
        ("tvl1", {"tau": -1.0}, "tau is -1.0; it must", "--tau is -1.0; it must"),
        ("tvl1", {"lambda_": 0.0}, "lambda_ is 0.0; it must", "--lambda is 0.0; it must"),
        ("tvl1", {"scale_step": 1.0}, "a single level give scales=1.", "a single level give --scales 1."),
        ("tvl1", {"median_filter": 4}, "median_filter is 4; allowed", "--median-filter is 4; allowed"),
        ("farneback", {"levels": 0}, "levels is 0; it must", "--farneback-levels is 0; it must"),
        ("raft", {"weights": "none", "updates": 0}, "updates is 0; it must", "--raft-updates is 0; it must"),
    ],
)
def test_settings_become_flags_for_the_command_line_alone(method, settings, own, flags):
    with pytest.raises(UsageError) as of_python:
        method_settings(method, **settings)
    with pytest.raises(UsageError) as of_shell, said_as_flags(method):
        flow_method(method, **settings)
    assert own in str(of_python.value) and "--" not in str(of_python.value)
    assert flags in str(of_shell.value)
    assert of_shell.value.__cause__ is not None


def test_devices_and_backends():
    with pytest.raises(UsageError, match=r"use numba or opencv, or give --device cuda\.$"), said_as_flags("tvl1"):
        choose_backend("cpu", "triton")
    words = "install numba, or give backend= triton or opencv on the device of that one."
    assert with_flags("tvl1", words) == "install numba, or give --backend triton or opencv on the device of that one."
    assert with_flags("raft", "They may be for model='small'; files") == "They may be for --raft-model small; files"


@pytest.mark.parametrize("words", ["scale is 3, tau is 4", "the levels are 3", "device 'cuda' was asked for"])
def test_other_words_stay(words):
    assert with_flags("tvl1", words) == words
