import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest
from damage import flip
from storing import IDS, SETTINGS, extract

from vidfeat.errors import UsageError
from vidfeat.store import FeatureWriter, verify


@pytest.fixture
def small(tmp_path):
    """One item with three chunks of features, and one beside it."""
    out = tmp_path / "feats.h5"
    with FeatureWriter(out, SETTINGS, {}, spill_bytes=100) as writer:
        for item_id in ("one", "a/two"):
            item = writer.item(item_id)
            item.append("fc7", np.random.default_rng(1).standard_normal((5, 100_000), dtype=np.float32))
            item.append("time", np.arange(5))
            item.append("frame", np.arange(5))
            item.finish({"path": "/x"}, labels=("l",))
    return out


def test_a_sound_file_has_no_problem(small):
    assert verify(small) == []


@pytest.mark.parametrize("name", ["fc7", "time", "frame"])
def test_a_flipped_byte_anywhere_in_a_dataset_is_found_in_that_item(small, name):
    with h5py.File(small) as h5:
        dataset = h5[f"items/one/{name}"].id
        chunks = [dataset.get_chunk_info(i) for i in range(dataset.get_num_chunks())]
    offsets = [c.byte_offset + at for c in chunks for at in (0, 1, c.size // 2 + 3, c.size - 5, c.size - 1)]
    for offset in offsets:
        flip(small, offset)
        problems = verify(small)
        assert [p.id for p in problems] == ["one"], offset
        assert f"'{name}' cannot be read" in problems[0].what
        flip(small, offset)
    assert verify(small) == []


def test_no_flipped_byte_of_a_file_changes_what_is_read_unseen(tmp_path):
    """Every byte that is not data, one after the other: verify finds it, or it does not matter to a reader."""
    out = tmp_path / "feats.h5"
    with FeatureWriter(out, SETTINGS, {}) as writer:
        for item_id in ("one", "a/two"):
            item = writer.item(item_id)
            item.append("fc7", np.arange(12, dtype=np.float32).reshape(3, 4))
            item.append("time", np.arange(3))
            item.append("frame", np.arange(3))
            item.finish({"path": "/x"}, labels=("l",))
    code = """
import sys
from pathlib import Path
from storing import contents
from damage import flip
from vidfeat.errors import VidfeatError
from vidfeat.store import verify
path = Path(sys.argv[1])
expected = contents(path)
found = same = 0
for offset in range(int(sys.argv[2]), path.stat().st_size, int(sys.argv[3])):
    flip(path, offset, 0xFF)
    try:
        problems = verify(path)
    except VidfeatError as error:
        problems = [error]
    if problems:
        found += 1
    else:
        assert contents(path) == expected, f"byte {offset} changed the contents unseen"
        same += 1
    flip(path, offset, 0xFF)
print(found, same)
"""
    import os
    from pathlib import Path

    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (here.parent.parent, here.parent, here)))}
    stride = os.environ.get("VIDFEAT_FLIP_STRIDE", "61")
    done = subprocess.run(
        [sys.executable, "-c", code, str(out), "0", stride], env=env, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found, harmless = map(int, done.stdout.split())
    assert found > 50
    assert harmless < 10 * found


def rewrite(path, change):
    with h5py.File(path, "r+") as h5:
        change(h5["items/one"])


def replace(group, name, values, **options):
    del group[name]
    options = {"chunks": values.shape, "fletcher32": True} | options
    group.create_dataset(name, data=values, **options).attrs["crc32"] = zlib.crc32(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: replace(g, "time", np.arange(4.0)), "different lengths: fc7 5, frame 5, time 4"),
        (lambda g: replace(g, "time", np.array([0.0, 1, 1, 2, 3])), "'time': does not increase"),
        (lambda g: replace(g, "time", np.array([0.0, 1, np.nan, 2, 3])), "'time': has values that are not finite"),
        (lambda g: replace(g, "fc7", np.full((5, 2), np.inf, "f2")), "'fc7': has values that are not finite"),
        (lambda g: replace(g, "frame", np.arange(5), fletcher32=False), "'frame': has no checksums"),
        (lambda g: g["frame"].attrs.__delitem__("crc32"), "'frame': has no checksums"),
        (lambda g: g["frame"].write_direct(np.arange(5) + 1), "'frame': does not have the bytes that were written"),
        (lambda g: g.__delitem__("time"), "has no time"),
        (lambda g: g.create_group("sub"), "'sub' is not an array"),
        (lambda g: g.attrs.__delitem__("done"), "not marked done"),
    ],
)
def test_damage_of_meaning_is_named(small, change, words):
    rewrite(small, change)
    assert any(p.id == "one" and words in p.what for p in verify(small)), verify(small)
    assert {p.id for p in verify(small)} == {"one"}


def test_a_lost_chunk_is_found_although_it_would_read_as_zeros(tmp_path):
    out = tmp_path / "feats.h5"
    extract(out, ["x"])
    with h5py.File(out, "r+") as h5:
        group = h5["items/x"]
        length = group["fc7"].shape[0]
        del group["fc7"]
        dataset = group.create_dataset("fc7", (length, 8), "f4", chunks=(2, 8), fletcher32=True)
        dataset[2:] = 1
        whole = np.ones((length, 8), "f4")
        dataset.attrs["crc32"] = zlib.crc32(whole)
    assert [p.what for p in verify(out)] == ["'fc7': does not have the bytes that were written"]


def test_settings_that_were_edited_are_found(small):
    with h5py.File(small, "r+") as h5:
        config = h5.attrs["config"].decode().replace("6.0", "7.0")
        h5.attrs.modify("config", np.bytes_(config))
    assert ["fingerprint" in p.what for p in verify(small)] == [True]


def test_strays_are_found(small):
    with h5py.File(small, "r+") as h5:
        h5["items/a/loose"] = np.arange(3)
        h5.create_group("items/nothing")
    assert {(p.id, p.what.partition(": ")[2]) for p in verify(small)} == {
        ("a", "not marked done"),
        ("nothing", "an empty folder"),
    }


def test_parts_and_linked_files_are_verified_too(tmp_path):
    out = tmp_path / "feats.h5"
    extract(out, IDS[:3], part_bytes=1, merge=False)
    extract(out, IDS[:4], part_bytes=1, close=False)
    assert verify(out) == []
    for number, item_id in ((2, IDS[1]), (4, IDS[3])):
        part = tmp_path / f"feats.h5.parts/part-{number:04d}.h5"
        with h5py.File(part) as h5:
            offset = h5[f"items/{item_id}/fc7"].id.get_chunk_info(0).byte_offset
        flip(part, offset)
        assert [p.id for p in verify(out)] == [item_id]
        assert [p.id for p in verify(part)] == [item_id]
        flip(part, offset)
    assert verify(out) == []
    (tmp_path / "feats.h5.parts/part-0004.h5").write_bytes(b"")
    assert ["part-0004.h5" in p.what for p in verify(out)] == [True]


def test_verify_of_nothing_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        verify(tmp_path / "no.h5")
