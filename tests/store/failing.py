"""Run in a process of its own: a disk that fails, in several ways.

    failing.py every FOLDER       a file operation fails, with all that follow it, for every one
    failing.py limit FOLDER       RLIMIT_FSIZE is met by the third part
    failing.py full FOLDER        FOLDER is a small file system
    failing.py leave FOLDER       the process ends without closing anything

The caller looks at the exit code and that standard error stays empty: HDF5 must not come back at the exit.
"""

import errno
import resource
import sys
from pathlib import Path

import numpy as np
from storing import IDS, SETTINGS, contents, extract, store_item

from vidfeat.errors import StorageError
from vidfeat.store import CodesWriter, FeatureWriter, fs, verify

FEW = {"ids": IDS[:4], "part_bytes": 20_000, "spill_bytes": 500}


def every(folder: Path) -> None:
    extract(folder / "plain.h5", FEW["ids"])
    expected = contents(folder / "plain.h5")
    names = ("open_new", "pwrite", "truncate", "fsync", "rename", "fsync_dir")
    real = {name: getattr(fs, name) for name in names}
    state = {"at": -1, "count": 0}
    called = []

    def broken(name):
        def wrapped(*args):
            state["count"] += 1
            called.append(name)
            if 0 <= state["at"] < state["count"]:
                raise OSError(errno.EIO, "Input/output error")
            return real[name](*args)

        return wrapped

    for name in names:
        setattr(fs, name, broken(name))
    extract(folder / "count.h5", **FEW)
    # Nearly all are writes of metadata: every tenth of them stands for all.
    cases = [n for n, name in enumerate(list(called)) if name != "pwrite" or n % 10 == 0]
    print(len(cases))
    for n in cases:
        state.update(at=n, count=0)
        out = folder / f"{n}.h5"
        try:
            extract(out, **FEW)
        except StorageError as error:
            assert "Input/output error" in str(error) and str(folder) in str(error), error
        else:
            raise SystemExit(f"a failure at operation {n} went unnoticed")
        state.update(at=-1)
        assert not out.exists() or not verify(out)
        extract(out, **FEW)
        assert contents(out) == expected, n
        assert not verify(out)


def limit(folder: Path) -> None:
    out = folder / "feats.h5"
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    writer = FeatureWriter(out, SETTINGS, {}, part_bytes=1)
    store_item(writer, "a")
    store_item(writer, "b")
    item = writer.item("c")
    item.append("time", np.arange(100))
    item.append("frame", np.arange(100))
    item.append("fc7", np.ones((100, 1000), np.float32))
    try:
        item.finish({})
    except StorageError as error:
        print(error)
    try:
        store_item(writer, "d")
    except StorageError as error:
        print(error)
    writer.stop()
    print(sorted(p.name for p in (folder / "feats.h5.parts").iterdir()))
    codes = CodesWriter(folder / "codes.h5", {})
    try:
        for i in range(200):
            codes.append(f"{i:03d}", {"default": np.ones(2000)})
        codes.close()
    except StorageError as error:
        print(error)
    print(sorted(p.name for p in folder.iterdir()))


def full(folder: Path) -> None:
    out = folder / "feats.h5"
    rng = np.random.default_rng(0)
    writer = FeatureWriter(out, SETTINGS, {}, part_bytes=100_000)
    finished = 0
    try:
        for i in range(1000):
            item = writer.item(f"{i:04d}")
            item.append("time", np.arange(10))
            item.append("frame", np.arange(10))
            item.append("fc7", rng.standard_normal((10, 1000)))
            item.finish({})
            finished = i + 1
    except StorageError as error:
        print(error)
    writer.stop()
    assert finished < 1000
    assert not verify(out)
    writer = FeatureWriter(out, SETTINGS, {})
    print(finished - len(writer.done))
    # Now nothing is left to do: the parts do not fit a second time, so the result must be links.
    writer.close()
    assert not verify(out)
    assert len(contents(out)["items"]) == len(writer.done)


def leave(folder: Path) -> None:
    writer = FeatureWriter(folder / "feats.h5", SETTINGS, {}, spill_bytes=1000)
    store_item(writer, "a")
    writer.item("b").append("fc7", np.ones((1000, 4), np.float32))
    codes = CodesWriter(folder / "codes.h5", {})
    codes.append("x", {"default": np.ones(4)})
    globals()["kept"] = writer, codes


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
