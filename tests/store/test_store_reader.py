import h5py
import numpy as np
import pytest
from storing import IDS, SETTINGS, contents, extract, rows

from vidfeat.errors import StorageError, UsageError
from vidfeat.store import FeatureWriter, open_features, summary
from vidfeat.store.settings import fingerprint


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    out = tmp_path_factory.mktemp("reader") / "feats.h5"
    extract(out, run={"note": "é"})
    with open_features(out) as opened:
        yield opened


def test_items_come_sorted_with_all_that_is_known(file):
    assert file.ids == sorted(IDS) == list(file)
    assert len(file) == len(IDS)
    assert "a/é.mp4" in file
    assert "a" not in file
    assert file.settings == SETTINGS
    assert file.fingerprint == fingerprint(SETTINGS)
    assert file.run == {"note": "é"}
    assert file.shard is None
    assert not file.in_progress
    item = file["a/é.mp4"]
    assert item.names == ["conv5", "fc7"]
    assert item.columns == ["conv5", "fc7", "frame", "time"]
    assert (item.labels, item.group) == (("x", "y"), "a")
    assert item.splits == {"split1": "train", "split2": ""}
    assert item.attrs["path"] == "/videos/a/é.mp4"
    assert item.attrs["mtime"] == 1.5
    assert item.attrs["done"] is True
    columns = rows("a/é.mp4")
    np.testing.assert_array_equal(item["fc7"], columns["fc7"])
    np.testing.assert_array_equal(item.time, columns["time"])
    np.testing.assert_array_equal(item.frame, columns["frame"])
    np.testing.assert_array_equal(item.rows("fc7", 1, 3), columns["fc7"][1:3])
    assert item.shape("conv5") == columns["conv5"].shape
    assert item.dtype("conv5") == np.float16


def test_what_is_not_there_is_named_with_what_is(file):
    with pytest.raises(UsageError, match="no item 'nope'; it has 12 items"):
        file["nope"]
    with pytest.raises(UsageError, match=r"has no 'fc8'; it has conv5, fc7\."):
        file["a/é.mp4"]["fc8"]
    with pytest.raises(UsageError, match=r"has no 'flow\.time'; it has time\."):
        file["a/é.mp4"]["flow.time"]


def test_flow_alone_is_told_by_its_own_names(tmp_path):
    out = tmp_path / "flow.h5"
    with FeatureWriter(out, SETTINGS, {}) as writer:
        for item_id, fields in (("a", 3), ("b", 4)):
            item = writer.item(item_id)
            item.append("flow", np.zeros((fields, 2, 4, 5), np.uint8))
            item.append("flow.time", np.arange(fields) / 25)
            item.append("flow.frame", np.arange(fields))
            item.finish({})
    with open_features(out) as file:
        with pytest.raises(UsageError, match=r"Item 'a' of .*flow\.h5 has no 'time'; it has flow\.time\."):
            _ = file["a"].time
        with pytest.raises(UsageError, match=r"has no 'frame'; it has flow\.frame\."):
            _ = file["a"].frame
    facts = summary(out)
    assert facts["fields"] == 7
    assert not {"frames", "flow_rows"} & facts.keys()


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(
        UsageError, match=r"does not exist. Make one with 'vidfeat extract .* or 'vidfeat flow \.\.\. -o"
    ):
        open_features(tmp_path / "no.h5")
    with pytest.raises(UsageError, match="is a folder"):
        open_features(tmp_path)
    text = tmp_path / "text.h5"
    text.write_text("id,path\n")
    with pytest.raises(UsageError, match="is not an HDF5 file"):
        open_features(text)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as h5:
        h5["x"] = 1
    with pytest.raises(UsageError, match=r"no attribute 'format'.*vidfeat import"):
        open_features(other)
    with h5py.File(other, "r+") as h5:
        h5.attrs["format"] = "vidfeat-codes"
    with pytest.raises(UsageError, match="its format is 'vidfeat-codes', expected 'vidfeat-features'"):
        open_features(other)
    with h5py.File(other, "r+") as h5:
        h5.attrs["format"] = "vidfeat-features"
        h5.attrs["version"] = 2
    with pytest.raises(UsageError, match="has format version 2; this vidfeat reads version 1"):
        open_features(other)


def test_a_truncated_file_is_a_storage_error(tmp_path):
    out = tmp_path / "feats.h5"
    extract(out)
    out.write_bytes(out.read_bytes()[:-1000])
    with pytest.raises(StorageError, match="damaged, incomplete"):
        open_features(out)
    with pytest.raises(StorageError, match="damaged, incomplete"):
        extract(out)


def test_while_a_run_goes_on_its_finished_parts_are_read(tmp_path):
    out = tmp_path / "feats.h5"
    extract(out, part_bytes=1, close=False)
    (tmp_path / "feats.h5.parts/part-0099.h5.tmp").write_bytes(b"half a file")
    with open_features(out) as file:
        assert file.in_progress
        assert file.ids == sorted(IDS)
    extract(tmp_path / "plain.h5")
    assert contents(out) == contents(tmp_path / "plain.h5")
    facts = summary(out)
    assert facts["in_progress"]
    assert len(facts["parts"]) == len(IDS)


def test_more_parts_than_are_kept_open_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("vidfeat.store.reader._OPEN_PARTS", 2)
    out = tmp_path / "feats.h5"
    extract(out, part_bytes=1, close=False)
    with open_features(out) as file:
        items = [file[i] for i in file]
        assert len(file._open) <= 3
        for item in items:
            np.testing.assert_array_equal(item["fc7"], rows(item.id)["fc7"])


def test_text_of_variable_length_written_by_others_is_read(tmp_path):
    out = tmp_path / "feats.h5"
    extract(out, ["x"])
    with h5py.File(out, "r+") as h5:
        h5["items/x"].attrs["label"] = "späße|b"
    with open_features(out) as file:
        assert file["x"].labels == ("späße", "b")


def test_summary_counts_everything(tmp_path):
    out = tmp_path / "feats.h5"
    extract(out, run={"shard": "1/3"})
    facts = summary(out)
    frames = {i: len(rows(i)["time"]) for i in IDS}
    with_maps = [i for i in IDS if i.startswith("a")]
    assert facts["items"] == len(IDS)
    assert facts["states"] == {"done": len(IDS)}
    assert facts["labels"] == {"x": len(IDS), "y": len(IDS)}
    assert facts["frames"] == sum(frames.values()) and not {"fields", "flow_rows"} & facts.keys()
    assert facts["features"]["conv5"] == {
        "items": len(with_maps),
        "rows": sum(frames[i] for i in with_maps),
        "row_shapes": [[2, 3, 3]],
        "dtypes": ["float16"],
        "bytes": 36 * sum(frames[i] for i in with_maps),
    }
    assert facts["features"]["fc7"]["row_shapes"] == [[8]]
    assert facts["file_bytes"] == out.stat().st_size
    assert facts["settings"] == SETTINGS
    assert facts["shard"] == [1, 3]
    assert (facts["parts"], facts["writer"], facts["links"], facts["in_progress"]) == ([], None, False, False)


def test_summary_of_a_running_extraction_names_its_process_and_of_mixed_devices_their_counts(tmp_path):
    import os

    out = tmp_path / "feats.h5"
    with FeatureWriter(out, SETTINGS, {}, part_bytes=1) as writer:
        for item_id, device in (("a", "cpu"), ("b", "cuda"), ("c", "cuda")):
            item = writer.item(item_id)
            for name, values in rows(item_id).items():
                item.append(name, values)
            item.finish({"device": device, "versions": {"torch": "2"}, "state": "truncated"})
        facts = summary(out)
        assert facts["writer"]["pid"] == os.getpid()
        assert facts["states"] == {"truncated": 3}
        assert facts["mixtures"] == {"device": {"cpu": 1, "cuda": 2}, "versions": {'{"torch": "2"}': 3}}
