"""Shared fixtures: the real data, and random state that no test can leak."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


def data_dir() -> Path:
    """Where the real videos lie: $VIDFEAT_DATA, else ../shared/data beside the checkout."""
    return Path(os.environ.get("VIDFEAT_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_videos() -> Path:
    folder = data_dir() / "videos"
    if not folder.is_dir():
        pytest.skip("no real videos: set VIDFEAT_DATA to a folder that has videos/")
    return folder


@pytest.fixture(scope="session")
def real_actions() -> Path:
    folder = data_dir() / "actions"
    if not folder.is_dir():
        pytest.skip("no action set: set VIDFEAT_DATA to a folder that has actions/")
    return folder


@pytest.fixture(scope="session")
def real_flow() -> Path:
    folder = data_dir() / "flow"
    if not folder.is_dir():
        pytest.skip("no pair with known flow: set VIDFEAT_DATA to a folder that has flow/")
    return folder


@pytest.fixture(autouse=True)
def keep_random_state():
    state, numpy_state = random.getstate(), np.random.get_state()
    yield
    random.setstate(state)
    np.random.set_state(numpy_state)
