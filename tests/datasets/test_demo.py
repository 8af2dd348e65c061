"""The demo set is frozen: its pixels, its names and its split are pinned here."""

import hashlib
import itertools

import numpy as np
import pytest

from vidfeat.datasets import demo, demo_frames
from vidfeat.datasets.listing import list_items
from vidfeat.datasets.manifest import read_manifest
from vidfeat.errors import StorageError

# sha256 over all raw RGB frames of seed 0, in the order of the writer. If it changes, DEMO_VERSION must be raised.
FRAMES_SHA256 = {1: "2709b799cfa1d121e8ff470475179f09cc3689c957203671fd37a33393e16810"}
PAIRS = (("right", "left"), ("grow", "shrink"), ("appear", "vanish"), ("dip", "hop"))


@pytest.fixture(scope="module")
def clips():
    """Raw frames of all clips of seed 0: {(label, series): [T, H, W, 3]}."""
    digits = demo._digits()
    keys = [(label, series) for series in range(demo.SERIES) for label in demo_frames.CLASSES]
    keys.append((demo.NEW_LABEL, demo.SERIES))
    return {key: np.stack(list(demo_frames.frames(0, *key, digits[key[1]]))) for key in keys}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "a" / "b"
    demo.write_demo(folder)
    return folder


def test_pixels_are_frozen(clips):
    digest = hashlib.sha256()
    for clip in clips.values():
        digest.update(repr(clip.shape).encode())
        digest.update(clip.tobytes())
    assert digest.hexdigest() == FRAMES_SHA256[demo_frames.DEMO_VERSION]


def test_another_seed_gives_other_pixels(clips):
    digits = demo._digits()[0]
    first = next(demo_frames.frames(1, "right", 0, digits))
    assert not np.array_equal(first, clips["right", 0][0])


@pytest.mark.parametrize("pair", PAIRS)
def test_classes_of_a_pair_show_the_same_frames_in_another_order(pair, monkeypatch):
    """From the same draws (noise aside) the two classes are permutations of one another."""
    monkeypatch.setattr(demo_frames.Draws, "bytes", lambda self, count: np.zeros(count, np.uint8))
    digits = demo._digits()[0]
    first_class, second_class = pair
    first = list(demo_frames.frames(0, first_class, 0, digits))
    motion, order = demo_frames.CLASSES[second_class]
    monkeypatch.setitem(demo_frames.CLASSES, first_class, (motion, order))  # same stream of draws, second class's order
    second = list(demo_frames.frames(0, first_class, 0, digits))
    assert len(first) == len(second) and len(first) % 2 == 0
    assert any((a != b).any() for a, b in zip(first, second, strict=True))
    if pair != ("dip", "hop"):
        assert all((a == b).all() for a, b in zip(first, reversed(second), strict=True))
    else:
        half = len(first) // 2
        assert all((a == b).all() for a, b in zip(first[half:] + first[:half], second, strict=True))


def brightness_centre(clip):
    """x, y of the digit per frame: centre of the pixels well above any background."""
    places = []
    for frame in clip:
        y, x = np.nonzero(frame.min(axis=2) > 150)
        places.append((x.mean(), y.mean(), len(x)) if len(x) else (np.nan, np.nan, 0))
    return np.array(places)


def test_every_clip_moves_as_its_class_says(clips):
    for (label, _), clip in clips.items():
        x, y, area = brightness_centre(clip).T
        first, last, middle = 0, -1, len(clip) // 2
        moved = {
            "right": x[last] - x[first] > 40,
            "left": x[first] - x[last] > 40,
            "grow": area[last] > 4 * area[first] > 0,
            "shrink": area[first] > 4 * area[last] > 0,
            "appear": area[last] > area[first] == 0,
            "vanish": area[first] > area[last] == 0,
            "dip": y[middle] - max(y[first], y[last]) > 40,
            "hop": min(y[first], y[last]) - y[middle] > 40,
        }
        assert [name for name, holds in moved.items() if holds] == [label]
        assert clip.shape[1:] == (120, 160, 3) and 30 <= len(clip) <= 50


def test_no_digit_is_in_two_series():
    series = demo._digits()
    names = [{digit.tobytes() for digit in digits} for digits in series]
    for first, second in itertools.combinations(names, 2):
        # Handwriting repeats now and then in the source, a series never does as a whole.
        assert len(first & second) <= 2


def test_manifest_splits_by_whole_groups_and_balances_everything(folder):
    items = read_manifest(folder / "set.csv")
    assert len(items) == 80
    splits = {item.group: set() for item in items}
    for item in items:
        splits[item.group].add(item.splits["split"])
        assert item.labels == (item.id.split("/")[0],)
    assert sorted(map(sorted, splits.values())) == [["test"]] * 4 + [["train"]] * 6
    for label, part in itertools.product(demo_frames.CLASSES, ("train", "test")):
        here = [item for item in items if item.labels == (label,) and item.splits["split"] == part]
        assert len(here) == {"train": 6, "test": 4}[part]
        suffixes = [item.path.suffix for item in here]
        assert suffixes.count(".mp4") == suffixes.count(".avi")


def test_the_directory_lists_as_the_manifest_does(folder):
    from_folder = list_items([folder / "videos"])
    from_manifest = list_items([folder / "set.csv"])
    assert [(i.id, i.labels) for i in from_folder.items] == [(i.id, i.labels) for i in from_manifest.items]
    assert not from_manifest.missing and not from_folder.hidden and not from_folder.ignored


def test_files_decode_to_the_frames_that_went_in(folder, clips):
    av = pytest.importorskip("av")
    for key in (("grow", 0), ("grow", 1), ("hop", 2)):
        path = next((folder / "videos" / key[0]).glob(f"g{key[1]:02d}.*"))
        with av.open(str(path)) as container:
            assert container.streams.video[0].average_rate == demo_frames.FPS
            decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        assert decoded.shape == clips[key].shape
        error = np.abs(decoded.astype(int) - clips[key]).mean()
        assert error < 8, "lossy, but the same picture"


def test_new_file_is_not_in_the_manifest(folder):
    assert (folder / "new.mp4").is_file()
    assert all(item.path.name != "new.mp4" for item in read_manifest(folder / "set.csv"))


def test_finished_set_is_left_alone_and_damage_is_repaired(folder, tmp_path, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert demo.write_demo(folder) == sorted(read_manifest(folder / "set.csv"), key=lambda item: item.id)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before

    written = []
    monkeypatch.setattr(demo, "_write_clip", lambda path, pictures: written.append(path))
    demo.write_demo(tmp_path / "other", seed=0)
    assert len(written) == 81
    demo.write_demo(tmp_path / "other", seed=0)
    assert len(written) == 162, "files are missing, so the marker is not believed"


def test_failed_clip_leaves_no_file(tmp_path):
    def broken():
        yield np.zeros((120, 160, 3), np.uint8)
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError):
        demo._write_clip(tmp_path / "c" / "x.mp4", broken())
    assert list((tmp_path / "c").iterdir()) == []


def test_unwritable_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Cannot write the demo set to"):
        demo.write_demo(tmp_path / "file")
