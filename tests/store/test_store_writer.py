"""Items as they are written: layout, chunks, parts, memory, and what is refused."""

import json
import tracemalloc

import h5py
import numpy as np
import pytest
from storing import IDS, SETTINGS, beside, contents, extract, rows, store_item

from vidfeat.errors import ItemError, UsageError
from vidfeat.store import FeatureWriter, attributes, open_features, verify


def test_the_file_is_laid_out_as_documented(tmp_path, monkeypatch):
    out = tmp_path / "feats.h5"
    written = []
    write = attributes.write_attrs
    monkeypatch.setattr(attributes, "write_attrs", lambda owner, v: (written.append(list(v)), write(owner, v))[1])
    extract(out, run={"weights": "/w.pth"})
    with h5py.File(out) as file:
        assert file.attrs["format"] == b"vidfeat-features"
        assert file.attrs["version"] == 1
        assert json.loads(file.attrs["config"]) == SETTINGS
        assert len(file.attrs["fingerprint"]) == 64
        assert json.loads(file.attrs["run"]) == {"weights": "/w.pth"}
        item = file["items/a/deep/er/clip.mp4"]
        assert written[-1] == ["done"]
        assert item.attrs["done"]
        assert item.attrs["label"] == b"x|y"
        assert item.attrs["group"] == b"a"
        assert item.attrs["split1"] == b"train"
        for name, dtype in (("fc7", "f4"), ("conv5", "f2"), ("time", "f8"), ("frame", "i8")):
            assert item[name].dtype == dtype
            assert item[name].fletcher32
            assert item[name].compression is None
            assert item[name].chunks == item[name].shape
        assert "done" not in file["items/a/deep"].attrs
    assert beside(out) == ["feats.h5"]
    assert not verify(out)


def test_large_items_have_chunks_of_about_a_megabyte_of_whole_rows_and_gzip_shuffles(tmp_path):
    out = tmp_path / "feats.h5"
    with FeatureWriter(out, SETTINGS, {}, compression="gzip") as writer:
        item = writer.item("x")
        item.append("fc7", np.ones((700, 4096), np.float32))
        item.append("time", np.arange(700))
        item.append("frame", np.arange(700.0))
        item.describe("fc7", {"bound": 20, "note": "é"})
        item.finish({})
    with h5py.File(out) as file:
        dataset = file["items/x/fc7"]
        assert dataset.chunks == (64, 4096)
        assert (dataset.compression, dataset.compression_opts, dataset.shuffle) == ("gzip", 1, True)
        assert file["items/x/time"].dtype == np.float64
        assert file["items/x/frame"].dtype == np.int64
    with open_features(out) as file:
        assert file["x"].notes("fc7") == {"bound": 20, "note": "é"}
    assert not verify(out)


def test_the_format_is_that_of_hdf5_1_8(tmp_path):
    """Superblock version 2 and nothing newer, so that old MATLAB and old HDF5 open it."""
    out = tmp_path / "feats.h5"
    extract(out, part_bytes=1)
    assert out.read_bytes()[8] == 2
    with h5py.File(out, libver=("earliest", "v108")) as file:
        names = []
        file.visit(names.append)
    assert len(names) > len(IDS)


def test_flow_columns_have_times_of_their_own(tmp_path):
    out = tmp_path / "feats.h5"
    with FeatureWriter(out, SETTINGS, {}) as writer:
        item = writer.item("x")
        for name, values in rows("x").items():
            item.append(name, values)
        item.append("flow.fc7", np.ones((2, 4), np.float32))
        item.append("flow.time", np.array([0, 1], np.int32))
        item.append("flow.frame", np.array([0, 1], np.int32))
        item.finish({})
    with open_features(out) as file:
        assert file["x"].names == ["fc7", "flow.fc7"]
        assert file["x"]["flow.time"].dtype == np.float64
        assert file["x"]["flow.frame"].dtype == np.int64


@pytest.mark.parametrize("options", [{}, {"part_bytes": 1}, {"spill_bytes": 1}, {"part_seconds": 0}])
def test_parts_and_spilling_do_not_show_in_the_result(tmp_path, options):
    extract(tmp_path / "a.h5")
    extract(tmp_path / "b.h5", **options)
    assert contents(tmp_path / "a.h5") == contents(tmp_path / "b.h5")
    assert list(contents(tmp_path / "b.h5")["items"]) == sorted(IDS)
    for item_id, (arrays, _) in contents(tmp_path / "b.h5")["items"].items():
        assert {n: a[2] for n, a in arrays.items()} == {n: v.tobytes() for n, v in rows(item_id).items()}


def test_several_items_may_be_open_and_a_caller_may_reuse_its_array(tmp_path):
    out = tmp_path / "feats.h5"
    with FeatureWriter(out, SETTINGS, {}, spill_bytes=3000) as writer:
        items = {i: writer.item(i) for i in ("p", "q", "r")}
        buffer = np.empty((10, 32), np.float32)
        for step in range(5):
            for k, item in enumerate(items.values()):
                buffer[:] = 100 * k + step
                item.append("fc7", buffer)
                item.append("time", np.arange(10) + 10.0 * step)
                item.append("frame", np.arange(10) + 10 * step)
        items["q"].discard()
        items["r"].finish({})
        items["p"].finish({})
    with open_features(out) as file:
        assert file.ids == ["p", "r"]
        expected = np.repeat(np.arange(5.0), 10)
        np.testing.assert_array_equal(file["r"]["fc7"], np.tile((200 + expected)[:, None], 32))
        np.testing.assert_array_equal(file["p"]["fc7"], np.tile(expected[:, None], 32))


def test_a_part_closes_when_its_time_is_up_even_if_no_item_ends(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("vidfeat.store.writer.time.monotonic", lambda: now[0])
    writer = FeatureWriter(tmp_path / "feats.h5", SETTINGS, {}, part_seconds=60)
    finished = tmp_path / "feats.h5.parts/part-0001.h5"
    store_item(writer, "b.mp4")
    now[0] = 59.0
    writer.tick()
    assert not finished.exists()
    now[0] = 60.0
    writer.tick()
    assert finished.exists()
    with open_features(tmp_path / "feats.h5") as file:
        assert file.in_progress
        assert file.ids == ["b.mp4"]
    store_item(writer, "bb")
    now[0] = 121.0
    writer.item("bb.mp4").append("fc7", np.zeros((1, 4)))
    assert (tmp_path / "feats.h5.parts/part-0002.h5").exists()
    writer.stop()


def test_values_that_are_not_finite_fail_the_item_and_name_the_way_out(tmp_path):
    with FeatureWriter(tmp_path / "feats.h5", SETTINGS, {}, spill_bytes=100) as writer:
        item = writer.item("x")
        item.append("fc7", np.zeros((40, 4), np.float16))
        with pytest.raises(ItemError, match=r"'fc7'.*not finite in row 41.*65504.*--dtype float32"):
            item.append("fc7", np.array([[1, 2, 3, 4], [1, np.inf, 3, 4]], np.float16))
        item = writer.item("y")
        with pytest.raises(ItemError, match=r"'fc7' has a value that is not finite in row 0\.$"):
            item.append("fc7", np.full((1, 4), np.nan, np.float32))
        store_item(writer, "z")
    assert list(contents(tmp_path / "feats.h5")["items"]) == ["z"]
    assert beside(tmp_path / "feats.h5") == ["feats.h5"]


@pytest.mark.parametrize("spill_bytes", [1, 1 << 20])
def test_times_must_increase_across_blocks(tmp_path, spill_bytes):
    with FeatureWriter(tmp_path / "feats.h5", SETTINGS, {}, spill_bytes=spill_bytes) as writer:
        item = writer.item("x")
        item.append("time", np.array([0.0, 1.0]))
        with pytest.raises(ItemError, match="'time' does not increase at row 2"):
            item.append("time", np.array([1.0, 2.0]))


def test_misuse_is_told_in_words(tmp_path):
    with pytest.raises(ValueError, match="one of none, gzip; got 'lzf'"):
        FeatureWriter(tmp_path / "feats.h5", SETTINGS, {}, compression="lzf")
    with FeatureWriter(tmp_path / "feats.h5", SETTINGS, {}) as writer:
        item = writer.item("x")
        with pytest.raises(ValueError, match="already begun"):
            writer.item("x")
        item.append("fc7", np.zeros((2, 4), np.float32))
        with pytest.raises(ValueError, match=r"shape \(5,\).*before had \(4,\)"):
            item.append("fc7", np.zeros((2, 5), np.float32))
        with pytest.raises(ValueError, match=r"float64.*before had.*float32"):
            item.append("fc7", np.zeros((2, 4)))
        with pytest.raises(ValueError, match="lacks \\['frame', 'time'\\]"):
            item.finish({})
        item.append("time", np.arange(3))
        item.append("frame", np.arange(3))
        with pytest.raises(ValueError, match=r"different length: {'fc7': 2, 'time': 3"):
            item.finish({})
        for name in ("a/b", "", "."):
            with pytest.raises(ValueError, match="one non-empty HDF5 name"):
                item.append(name, np.zeros(1))
        with pytest.raises(ValueError, match="number array"):
            item.append("text", np.array(["x"]))
        item.discard()
        with pytest.raises(ValueError, match="already finished or discarded"):
            item.append("fc7", np.zeros((2, 4), np.float32))
        with pytest.raises(ValueError, match="no rows"):
            writer.item("y").finish({})
        with pytest.raises(UsageError, match="component '\\.\\.'"):
            writer.item("../up")
    with pytest.raises(ValueError, match="is closed"):
        store_item(writer, "late")


def test_settings_must_be_plain_values(tmp_path):
    with pytest.raises(UsageError, match="plain finite JSON"):
        extract(tmp_path / "feats.h5", settings={"fps": float("nan")})
    assert beside(tmp_path / "feats.h5") == []


def test_an_id_that_is_a_prefix_of_another_is_refused_also_across_runs(tmp_path):
    out = tmp_path / "feats.h5"
    extract(out, ["a/b", "ab"])
    with FeatureWriter(out, SETTINGS, {}) as writer:
        with pytest.raises(UsageError, match="'a' is a path prefix"):
            writer.item("a")
        with pytest.raises(UsageError, match="'a/b' is a path prefix of 'a/b/c'"):
            writer.item("a/b/c")
        writer.item("a/bc").discard()


def test_memory_does_not_grow_with_the_length_of_an_item(tmp_path):
    out = tmp_path / "feats.h5"
    block = np.random.default_rng(0).standard_normal((250, 1024), dtype=np.float32)
    tracemalloc.start()
    with FeatureWriter(out, SETTINGS, {}, spill_bytes=2 << 20) as writer:
        item = writer.item("long")
        for step in range(64):  # 64 MB
            item.append("fc7", block)
            item.append("time", np.arange(250) + 250.0 * step)
            item.append("frame", np.arange(250) + 250 * step)
        item.finish({})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    with open_features(out) as file:
        assert file["long"].shape("fc7") == (16000, 1024)
        np.testing.assert_array_equal(file["long"].rows("fc7", 15990, 16000), block[-10:])
    assert not verify(out)
