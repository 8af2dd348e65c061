"""A small labelled set of synthetic videos, its features and codes, made on the command line."""

from pathlib import Path

import pytest
from invoke import vidfeat
from small import SMALL_FLAGS, write_clips
from zygote import Zygote


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def features(clips, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("features") / "feats.h5"
    result = vidfeat("extract", clips, "-o", output, *SMALL_FLAGS)
    assert result.exit_code == 0, result.stderr
    return output


@pytest.fixture(scope="session")
def codes(features, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("codes") / "c.h5"
    assert vidfeat("encode", features, "-o", output).exit_code == 0
    return output


@pytest.fixture(scope="session")
def zygote(tmp_path_factory):
    served = Zygote(tmp_path_factory.mktemp("zygote") / "stderr.txt")
    yield served
    served.close()
