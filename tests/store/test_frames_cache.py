"""Decoded frames on disk: whole or not there, and never those of another file."""

import os
import subprocess
import sys

import numpy as np
import pytest

from vidfeat.store import frames_cache
from vidfeat.store.frames_cache import FramesCache

SOURCE = [120, 3.5, None, None]


@pytest.fixture
def cache(tmp_path):
    return FramesCache(tmp_path, {"fps": 6})


def fill(cache, item_id="a/é.mp4", rows=5, finish=True):
    pixels = np.arange(rows * 24, dtype=np.uint8).reshape(rows, 4, 2, 3)
    with cache.write(item_id, SOURCE) as writer:
        writer.add("rgb", pixels[:2])
        writer.add("rgb", pixels[2:])
        writer.add("flow", pixels[:3, :, :, :2])
        assert writer.rows("rgb") == rows and writer.rows("other") == 0
        if finish:
            writer.finish("truncated", "half of it")
    return pixels


def test_what_was_written_is_read_back_without_a_copy(cache):
    pixels = fill(cache)
    there = cache.read("a/é.mp4", SOURCE)
    np.testing.assert_array_equal(there.arrays["rgb"], pixels)
    np.testing.assert_array_equal(there.arrays["flow"], pixels[:3, :, :, :2])
    assert isinstance(there.arrays["rgb"], np.memmap)
    assert (there.state, there.reason) == ("truncated", "half of it")


def test_an_item_that_was_not_finished_is_not_there_and_leaves_nothing(cache):
    fill(cache, finish=False)
    assert cache.read("a/é.mp4", SOURCE) is None
    assert [path.name for path in cache.folder.rglob("*") if path.is_file()] == ["settings.json"]


@pytest.mark.parametrize("source", [[121, 3.5, None, None], [120, 3.6, None, None], [120, 3.5, 1.0, None]])
def test_another_file_or_segment_is_not_taken_for_it(cache, source):
    fill(cache)
    assert cache.read("a/é.mp4", source) is None
    assert cache.read("a/e.mp4", SOURCE) is None


def test_other_settings_have_a_place_of_their_own(cache, tmp_path):
    fill(cache)
    assert FramesCache(tmp_path, {"fps": 7}).read("a/é.mp4", SOURCE) is None
    assert FramesCache(tmp_path, {"fps": 6}).read("a/é.mp4", SOURCE) is not None


def test_a_file_that_is_cut_short_counts_as_not_there(cache):
    fill(cache)
    (path,) = cache.folder.rglob("*.rgb")
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.read("a/é.mp4", SOURCE) is None


def test_rows_of_another_shape_are_refused(cache):
    with cache.write("a", SOURCE) as writer:
        writer.add("rgb", np.zeros((1, 4, 4, 3), np.uint8))
        with pytest.raises(ValueError, match=r"rows of rgb are uint8 \[1, 4, 5, 3\] after \[1, 4, 4, 3\]"):
            writer.add("rgb", np.zeros((1, 4, 5, 3), np.uint8))


def test_a_removed_item_frees_its_space(cache):
    fill(cache)
    fill(cache, "b")
    cache.remove("a/é.mp4")
    assert cache.read("a/é.mp4", SOURCE) is None
    assert cache.read("b", SOURCE) is not None
    assert len(list(cache.folder.rglob("*.rgb"))) == 1


def test_what_a_killed_process_left_of_an_item_is_removed_when_it_is_written_again(cache):
    fill(cache)
    base = next(cache.folder.rglob("*.rgb")).with_suffix("")
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = base.with_name(f".{base.name}.{dead.stdout.strip()}@{frames_cache._HOST}.rgb.tmp")
    living = base.with_name(f".{base.name}.{os.getppid()}@{frames_cache._HOST}.rgb.tmp")
    elsewhere = base.with_name(f".{base.name}.{dead.stdout.strip()}@another-{frames_cache._HOST}.rgb.tmp")
    for path in (left, living, elsewhere):
        path.write_bytes(b"half")
    fill(cache)
    assert not left.exists() and living.exists() and elsewhere.exists()
