"""Chunks compressed in threads: the bytes that HDF5 itself would have written."""

import h5py
import numpy as np
import pytest

from vidfeat.store import FeatureWriter, open_features, verify
from vidfeat.store.packing import _WORDS, fletcher32, packed
from vidfeat.store.rows import CHUNK_BYTES, create_dataset


def plain_fletcher32(data: bytes) -> int:
    """Word by word, with the sums reduced as ones' complement does: 65535 stands for 0 once anything was added."""
    a = b = 0
    for start in range(0, len(data), 2):
        word = int.from_bytes(data[start : start + 2].ljust(2, b"\0"), "big")
        a = a + word if a + word <= 65535 else a + word - 65535
        b = b + a if b + a <= 65535 else b + a - 65535
    return (b << 16) | a


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\0" * 9, b"\xff" * 8, b"\xff\xff", b"ab", b"abc", bytes(range(256)) * 3]
)
def test_fletcher32_of_bytes(data):
    assert fletcher32(data) == plain_fletcher32(data)


def test_fletcher32_of_more_than_is_summed_at_a_time(monkeypatch):
    data = np.random.default_rng(0).integers(0, 256, 4001, np.uint8).tobytes()
    monkeypatch.setattr("vidfeat.store.packing._WORDS", 64)
    assert fletcher32(data) == plain_fletcher32(data)
    # The largest sums of one part still fit into 64 bits.
    assert 65535 * _WORDS * (_WORDS + 1) // 2 < 2**64


@pytest.mark.parametrize(
    ("dtype", "shape"), [(np.uint8, (5, 2, 30, 41)), (np.float16, (3, 7, 11)), (np.float32, (4, 9)), (np.int64, (6,))]
)
def test_the_same_bytes_as_hdf5_writes(tmp_path, dtype, shape):
    values = np.random.default_rng(1).integers(0, 9, shape).astype(dtype)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = create_dataset(file, "x", np.dtype(dtype), shape, shape[0], "gzip", grows=False)
        dataset[:] = values
        stored = dataset.id.read_direct_chunk((0,) * len(shape))[1]
    assert packed(values) == stored


def chunks(path) -> list[bytes]:
    with h5py.File(path) as file:
        stored = file["items/v/flow"].id
        places = [stored.get_chunk_info(i).chunk_offset for i in range(stored.get_num_chunks())]
        return [stored.read_direct_chunk(place)[1] for place in places]


def test_a_long_item_is_what_was_given_and_the_same_in_every_run(tmp_path, monkeypatch):
    """More chunks than may wait, so that some are written while others are in the making."""
    monkeypatch.setattr("vidfeat.store.rows.WAITING", 2)
    row = np.random.default_rng(2).integers(0, 40, (2, 120, 160), np.uint8)
    count = 5 * (CHUNK_BYTES // row.nbytes) + 5
    found = []
    for number, options in enumerate([{}, {"spill_bytes": 1 << 20}]):
        path = tmp_path / f"{number}.h5"
        with FeatureWriter(path, {"x": 1}, {}, compression="gzip", **options) as writer:
            item = writer.item("v")
            for start in range(0, count, 7):
                rows = np.arange(start, min(start + 7, count))
                item.append("flow", row[None] + rows[:, None, None, None].astype(np.uint8))
                item.append("flow.time", rows / 25)
                item.append("flow.frame", rows)
            item.finish({})
        assert verify(path) == []
        with open_features(path) as file:
            stored = file["v"]["flow"]
        assert stored.shape == (count, *row.shape)
        for k in (0, 1, count // 2, count - 1):
            assert (stored[k] == row + np.uint8(k % 256)).all()
        found.append(chunks(path))
    assert len(found[0]) == 6
    assert found[0] == found[1]


def test_a_flipped_byte_of_a_packed_chunk_is_found(tmp_path):
    values = np.random.default_rng(3).integers(0, 256, (40, 2, 120, 160), np.uint8)
    with FeatureWriter(tmp_path / "f.h5", {"x": 1}, {}, compression="gzip") as writer:
        item = writer.item("v")
        item.append("flow", values)
        item.append("flow.time", np.arange(40.0))
        item.append("flow.frame", np.arange(40))
        item.finish({})
    content = bytearray((tmp_path / "f.h5").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "f.h5").write_bytes(content)
    assert any("flow" in problem.what for problem in verify(tmp_path / "f.h5"))


def test_flow_without_times_of_its_own_is_refused_and_found(tmp_path):
    with FeatureWriter(tmp_path / "f.h5", {"x": 1}, {}) as writer:
        item = writer.item("v")
        item.append("flow", np.zeros((2, 2, 4, 4), np.uint8))
        item.append("time", np.arange(2.0))
        item.append("frame", np.arange(2))
        with pytest.raises(ValueError, match=r"lacks \['flow.frame', 'flow.time'\]"):
            item.finish({})
        item.append("flow.time", np.arange(3.0))
        item.append("flow.frame", np.arange(3))
        with pytest.raises(ValueError, match="columns of different length"):
            item.finish({})
        item.discard()
        item = writer.item("w")
        item.append("flow", np.zeros((2, 2, 4, 4), np.uint8))
        item.append("flow.time", np.arange(2.0))
        item.append("flow.frame", np.arange(2))
        item.finish({})
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        del file["items/w/flow.time"]
    assert any("has no flow.time" in problem.what for problem in verify(tmp_path / "f.h5"))
