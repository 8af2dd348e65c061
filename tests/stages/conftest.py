"""A small labelled set of synthetic videos, and its features."""

from pathlib import Path

import pytest
from small import run_small, write_clips


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def features(clips, tmp_path_factory) -> Path:
    """Features of ``clips`` from one uninterrupted run."""
    output = tmp_path_factory.mktemp("features") / "feats.h5"
    assert run_small([clips], output).exit_code == 0
    return output
