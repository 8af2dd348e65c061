import json

import h5py
import numpy as np
import pytest
from storing import IDS, extract

from vidfeat.errors import StorageError, UsageError
from vidfeat.store import CodesWriter, open_codes, write_csv, write_json, write_text

ORDERED = sorted(IDS)


def write(path, width=6, sets=("default", "C=0.1"), count=len(ORDERED)):
    rng = np.random.default_rng(0)
    written = {name: [] for name in sets}
    with CodesWriter(path, {"feature": "fc7", "from": {"é": 1}}) as writer:
        for k, item_id in enumerate(ORDERED[:count]):
            codes = {name: rng.standard_normal(width) for name in sets}
            for name, code in codes.items():
                written[name].append(code.astype(np.float32))
            writer.append(item_id, codes, ("a", "b")[: k % 3], f"g{k}", {"split1": "train"} if k % 2 else {})
        assert writer.count == count
        if count:
            writer.set_blocks("default", [(0, 0, 4), (1, 4, 6)])
    return {name: np.array(rows) for name, rows in written.items()}


def test_codes_come_back_with_all_that_is_known(tmp_path):
    path = tmp_path / "codes.h5"
    written = write(path)
    with open_codes(path) as codes:
        assert codes.ids == ORDERED
        assert codes.sets == ["C=0.1", "default"]
        for name in codes.sets:
            np.testing.assert_array_equal(codes.codes(name), written[name])
            assert codes.codes(name).dtype == np.float32
        assert codes.labels[:3] == [(), ("a",), ("a", "b")]
        assert codes.groups == [f"g{k}" for k in range(len(IDS))]
        assert codes.splits == {"split1": ["train" if k % 2 else "" for k in range(len(IDS))]}
        assert codes.blocks() == [(0, 0, 4), (1, 4, 6)]
        assert codes.blocks("C=0.1") == []
        assert codes.provenance == {"feature": "fc7", "from": {"é": 1}}
        with pytest.raises(UsageError, match=r"no set 'x'; it has 'C=0\.1', 'default'"):
            codes.codes("x")
    with h5py.File(path) as h5:
        assert h5["sets/default/codes"].fletcher32
        assert h5["sets/default"].attrs["blocks"].tolist() == [[0, 0, 4], [1, 4, 6]]
        assert [text.decode() for text in h5["ids"]] == ORDERED
        assert h5.attrs["done"]
    assert [p.name for p in tmp_path.iterdir()] == ["codes.h5"]


def test_long_codes_are_written_as_they_come(tmp_path):
    path = tmp_path / "codes.h5"
    written = write(path, width=300_000, sets=("default",), count=3)
    with h5py.File(path) as h5:
        assert h5["sets/default/codes"].chunks == (1, 300_000)
    with open_codes(path) as codes:
        np.testing.assert_array_equal(codes.codes(), written["default"])


def test_no_items_is_a_file_too(tmp_path):
    write(tmp_path / "codes.h5", count=0)
    with open_codes(tmp_path / "codes.h5") as codes:
        assert (len(codes), codes.sets, codes.labels, codes.splits) == (0, [], [], {})


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "codes.h5"
    write(path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="boom"), CodesWriter(path, {}) as writer:
        writer.append("x", {"default": np.ones(3)})
        raise RuntimeError("boom")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["codes.h5"]
    (tmp_path / "codes.h5.tmp").write_bytes(b"left by a crash")
    write(path, count=2)
    with open_codes(path) as codes:
        assert len(codes) == 2


@pytest.mark.parametrize(
    ("item_id", "codes", "words"),
    [
        ("a", {"default": np.ones(3)}, "sorted and once: 'a' after 'm'"),
        ("m", {"default": np.ones(3)}, "sorted and once: 'm' after 'm'"),
        ("n", {"default": np.ones(4)}, "has length 4, those before have 3"),
        ("n", {"other": np.ones(3)}, r"has the sets \['other'\], those before have \['default'\]"),
        ("n", {"default": np.ones((1, 3))}, "finite vector; got shape"),
        ("n", {"default": np.array([1, np.nan, 1])}, "finite vector"),
        ("n", {}, "has no code"),
    ],
)
def test_codes_that_do_not_belong_are_refused(tmp_path, item_id, codes, words):
    writer = CodesWriter(tmp_path / "codes.h5", {})
    writer.append("m", {"default": np.ones(3)})
    with pytest.raises(ValueError, match=words):
        writer.append(item_id, codes)
    with pytest.raises(ValueError, match="no set 'x' yet"):
        writer.set_blocks("x", [(0, 0, 1)])
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_set_names_are_single_hdf5_names(tmp_path):
    writer = CodesWriter(tmp_path / "codes.h5", {})
    with pytest.raises(ValueError, match="without '/'"):
        writer.append("m", {"a/b": np.ones(3)})
    writer.abandon()


def test_wrong_files_are_refused_and_damage_is_found(tmp_path):
    with pytest.raises(UsageError, match=r"does not exist. Make it with 'vidfeat encode"):
        open_codes(tmp_path / "no.h5")
    extract(tmp_path / "feats.h5", IDS[:1])
    with pytest.raises(UsageError, match=r"not a codes file.*vidfeat-features"):
        open_codes(tmp_path / "feats.h5")
    with pytest.raises(UsageError, match="does not exist"):
        CodesWriter(tmp_path / "no/codes.h5", {})
    with pytest.raises(UsageError, match="is a folder"):
        CodesWriter(tmp_path, {})
    path = tmp_path / "codes.h5"
    write(path)
    with h5py.File(path) as h5:
        offset = h5["sets/default/codes"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset + 9] ^= 1
    path.write_bytes(data)
    with open_codes(path) as codes, pytest.raises(StorageError, match="codes of set 'default'"):
        codes.codes()


def write_order_errors(path, values=(0.25, float("nan"), 1.0)):
    with CodesWriter(path, {}) as writer:
        for item_id, value in zip("abc", values, strict=True):
            codes = {"C=1": np.ones(3), "C=10": np.ones(3)}
            writer.append(item_id, codes, order_error={"C=10": value})
    return path


def test_order_errors_come_back_where_there_are_some(tmp_path):
    path = write_order_errors(tmp_path / "codes.h5")
    with open_codes(path) as codes:
        np.testing.assert_array_equal(codes.order_error("C=10"), [0.25, np.nan, 1.0])
        assert codes.order_error("C=10").dtype == np.float64
        assert codes.order_error("C=1") is None
        assert codes.codes("C=10").shape == (3, 3)
        with pytest.raises(UsageError, match=r"no set 'x'; it has 'C=1', 'C=10'"):
            codes.order_error("x")
    with h5py.File(path) as h5:
        assert h5["sets/C=10/order_error"].fletcher32
    write(tmp_path / "without.h5")
    with open_codes(tmp_path / "without.h5") as codes:
        assert codes.order_error() is None


def test_a_damaged_order_error_is_found(tmp_path):
    path = write_order_errors(tmp_path / "codes.h5")
    with h5py.File(path, "r+") as h5:  # HDF5 renews its own checksum, ours tells
        h5["sets/C=10/order_error"][0] = 0.5
    with open_codes(path) as codes:
        codes.codes("C=10")
        with pytest.raises(StorageError, match="the order error of set 'C=10'"):
            codes.order_error("C=10")


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ({"C=10": 1.5}, "is 1.5; it is a share"),
        ({"C=10": -0.1}, "is -0.1; it is a share"),
        ({"C=10": np.inf}, "is inf; it is a share"),
        ({"x": 0.5}, r"order error of \['x'\], but no codes"),
        (None, r"order error of \[\], those before of \['C=10'\]"),
        ({"C=1": 0.5, "C=10": 0.5}, r"those before of \['C=10'\]"),
    ],
)
def test_order_errors_that_do_not_belong_are_refused(tmp_path, errors, words):
    writer = CodesWriter(tmp_path / "codes.h5", {})
    codes = {"C=1": np.ones(3), "C=10": np.ones(3)}
    writer.append("a", codes, order_error={"C=10": 0.5})
    with pytest.raises(ValueError, match=words):
        writer.append("b", codes, order_error=errors)
    assert writer.count == 1
    writer.abandon()


def test_small_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    from vidfeat.store import fs

    write_json(tmp_path / "results.json", {"accuracy": 0.5, "é": [1]})
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8")) == {"accuracy": 0.5, "é": [1]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "results.json", {"accuracy": float("nan")})
    write_csv(tmp_path / "p.csv", ["id", "score"], [("a,b", np.float64(0.1)), ("é", 1e-20)])
    assert (tmp_path / "p.csv").read_bytes() == 'id,score\n"a,b",0.1\né,1e-20\n'.encode()
    with pytest.raises(ValueError, match="has 1 cells, the header has 2"):
        write_csv(tmp_path / "p.csv", ["id", "score"], [("a",)])

    def full(fd, data, offset):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fs, "pwrite", full)
    with pytest.raises(StorageError, match=r"results\.json: No space left on device"):
        write_text(tmp_path / "results.json", "x")
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["accuracy"] == 0.5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.csv", "results.json"]


def test_rows_of_codes_are_read_as_they_are_asked_for(tmp_path):
    table = np.random.default_rng(0).normal(size=(2000, 300)).astype(np.float32)
    with CodesWriter(tmp_path / "c.h5", {}) as codes:
        for number, row in enumerate(table):
            codes.append(f"{number:04}", {"default": row})
    with open_codes(tmp_path / "c.h5") as codes:
        rows = codes.code_rows()
        assert rows.shape == (len(rows), 300) == (2000, 300) and rows.dtype == np.float32
        assert np.array_equal(rows[1500:1600], table[1500:1600])
        with pytest.raises(UsageError, match="has no set 'other'"):
            codes.code_rows("other")
    raw = bytearray((tmp_path / "c.h5").read_bytes())
    place = raw.index(table[1000].tobytes())
    raw[place] ^= 1
    (tmp_path / "c.h5").write_bytes(raw)
    with open_codes(tmp_path / "c.h5") as codes, pytest.raises(StorageError, match=r"rows 900…1100 of .*set 'default'"):
        codes.code_rows()[900:1100]
