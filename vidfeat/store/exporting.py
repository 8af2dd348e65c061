"""Write features in the layouts that other tools read."""

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from vidfeat.errors import UsageError
from vidfeat.store import fs, layout, output, run
from vidfeat.store.assemble import temporary_name
from vidfeat.store.reader import FeatureFile, StoredItem, open_features

FORMS = ("npy", "csv", "hdf5", "hdf5-bare")

# Not allowed in a file name somewhere, or of special meaning to a shell or to the escape itself.
_UNSAFE = frozenset('%\\:*?"<>|') | {chr(code) for code in (*range(32), 127)}
_LONGEST_NAME = 200
_READ_BYTES = 8 << 20


def export_features(
    path: Path | str, target: Path | str, form: str, *, features: Sequence[str] | None = None, overwrite: bool = False
) -> int:
    """Export the ``features`` (all by default) of the feature file ``path``; the number of arrays or rows written.

    ``form``:

    - ``npy``: folder ``target`` with ``<feature>/<id>.npy`` [T, ...]. Characters of ids that are not safe in file names
      are written as %XX, a leading ``-`` too; nothing is written outside ``target``.
    - ``csv``: one table ``id,time,frame,0,1,...`` of one vector feature.
    - ``hdf5``: ``/<id>/<feature>`` [T, ...] (ActivityNet style); ``hdf5-bare``: ``/<id>`` [T, ...] of one feature.

    UsageError: unknown form or feature, more than one feature where one is meant, ``target`` exists and ``overwrite``
    is not given.
    """
    target = Path(target)
    if form not in FORMS:
        raise UsageError(f"Unknown form {form!r}; allowed are {', '.join(FORMS)}.")
    if target.resolve() == Path(path).resolve():
        raise UsageError(f"{target} is both the source and the target. Choose another target.")
    if target.exists() and not overwrite and not (form == "npy" and target.is_dir()):
        raise UsageError(f"{target} exists already. Choose another target, or --overwrite to replace it.")
    if not target.parent.is_dir():
        raise UsageError(f"The folder {target.parent} does not exist. Create it first.")
    with open_features(path) as file:
        names = _choose(file, features)
        if form in ("csv", "hdf5-bare") and len(names) != 1:
            raise UsageError(f"Form {form!r} holds one feature; choose one of {', '.join(names)}.")
        if form == "npy":
            return _to_npy(file, target, names, overwrite)
        return _to_csv(file, target, names[0]) if form == "csv" else _to_hdf5(file, target, names, form == "hdf5-bare")


def safe_name(component: str) -> str:
    """One component of an id as a file name: unsafe characters as %XX; very long ones are cut and get a hash."""
    text = "".join(f"%{ord(char):02X}" if char in _UNSAFE else char for char in component)
    if text.startswith("-"):
        text = "%2D" + text[1:]
    raw = text.encode("utf-8", "surrogateescape")
    if len(raw) > _LONGEST_NAME:
        digest = hashlib.sha256(raw).hexdigest()[:16]
        text = raw[: _LONGEST_NAME - 17].decode("utf-8", "ignore") + "~" + digest
    return text


def _choose(file: FeatureFile, features: Sequence[str] | None) -> list[str]:
    there = sorted({name for item_id in file for name in file[item_id].names})
    if unknown := [name for name in features or () if name not in there]:
        raise UsageError(f"{file.path} has no feature {unknown[0]!r}; it has {', '.join(there) or 'none'}.")
    return list(features) if features else there


def _having(file: FeatureFile, name: str) -> Iterator[StoredItem]:
    return (item for item in map(file.__getitem__, file) if name in item)


def _to_npy(file: FeatureFile, target: Path, names: Sequence[str], overwrite: bool) -> int:
    count = 0
    for name in names:
        for item in _having(file, name):
            *folders, last = (safe_name(component) for component in item.id.split("/"))
            place = target.joinpath(safe_name(name), *folders, last + ".npy")
            if place.exists() and not overwrite:
                raise UsageError(f"{place} exists already. Choose another folder, or --overwrite to replace it.")
            with fs.writing(place):
                place.parent.mkdir(parents=True, exist_ok=True)
            stream = io.BytesIO()
            np.save(stream, item[name], allow_pickle=False)
            run.write_bytes(place, stream.getbuffer())
            count += 1
    return count


def _to_csv(file: FeatureFile, target: Path, name: str) -> int:
    temporary = temporary_name(target)
    try:
        with fs.writing(target):
            with temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                count = _write_table(csv.writer(stream, lineterminator="\n"), file, name)
                stream.flush()
                fs.fsync(stream.fileno())
            fs.rename(temporary, target)
            fs.fsync_dir(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return count


def _write_table(table, file: FeatureFile, name: str) -> int:
    stream = layout.stream_of(name)
    count = width = 0
    for item in _having(file, name):
        shape = item.shape(name)
        if len(shape) != 2 or (width and shape[1] != width):
            raise UsageError(
                f"{name!r} of {item.id!r} has rows of shape {shape[1:]}; a table needs vectors of one length. "
                f"Pool maps first (--map-pool), or export as npy."
            )
        if not width:
            width = shape[1]
            table.writerow(["id", "time", "frame", *range(width)])
        times, frames = item[stream + "time"].tolist(), item[stream + "frame"].tolist()
        for time, frame, row in zip(times, frames, item[name], strict=True):
            table.writerow([item.id, time, frame, *row.tolist()])
            count += 1
    return count


def _to_hdf5(file: FeatureFile, target: Path, names: Sequence[str], bare: bool) -> int:
    temporary = temporary_name(target)
    temporary.unlink(missing_ok=True)
    new = output.OutputFile(temporary)
    count = 0
    try:
        for name in names:
            for item in _having(file, name):
                _copy(item, name, new.h5, item.id if bare else f"{item.id}/{name}")
                new.check()
                count += 1
    except layout.H5_ERRORS:
        new.abandon()
        new.check()
        raise
    except BaseException:
        new.abandon()
        raise
    new.publish(target)
    return count


def _copy(item: StoredItem, name: str, h5: h5py.File, place: str) -> None:
    shape, dtype = item.shape(name), item.dtype(name)
    dataset = h5.create_dataset(place, shape=shape, dtype=dtype)
    step = max(1, _READ_BYTES // max(1, dtype.itemsize * int(np.prod(shape[1:]))))
    for start in range(0, shape[0], step):
        dataset[start : start + step] = item.rows(name, start, start + step)
