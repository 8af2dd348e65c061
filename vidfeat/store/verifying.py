"""Read every byte of a feature file and say what is wrong with it."""

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from vidfeat.errors import StorageError, UsageError
from vidfeat.store import attributes, layout
from vidfeat.store.settings import fingerprint

_READ_BYTES = 8 << 20


class Problem(NamedTuple):
    """``id`` is an item, or empty for the file itself; ``what`` says what is wrong."""

    id: str
    what: str


def verify(path: Path | str) -> list[Problem]:
    """All problems of a feature file, its parts and the files it links to; an empty list means that it is sound.

    Checked are the checksums of all data and metadata, that every chunk is there, equal T across features, times and
    frames, increasing times, finite values, and that nothing but finished items lies in the file. UsageError if there
    is no such file or it is not a feature file.
    """
    path = Path(path)
    problems: list[Problem] = []
    linked: set[Path] = set()
    parts = layout.list_parts(layout.parts_folder(path))
    if path.exists() or not parts:
        try:
            problems += _verify_file(path, linked)
        except StorageError as error:
            problems.append(Problem("", str(error)))
    for part in parts:
        if part.resolve() not in linked:
            try:
                problems += _verify_file(part, linked)
            except (StorageError, UsageError) as error:
                problems.append(Problem("", str(error)))
    return problems


def _verify_file(path: Path, linked: set[Path]) -> Iterator[Problem]:
    file, root = layout.open_features_file(path)
    with file:
        if fingerprint(root.settings) != root.fingerprint:
            yield Problem("", f"{path}: the fingerprint does not belong to the stored settings")
        try:
            found = sorted(layout.walk(file))
        except layout.H5_ERRORS as error:
            yield Problem("", f"{path}: the list of items cannot be read ({error})")
            return
        for entry in found:
            if entry.stray:
                yield Problem(entry.id, f"{path}: {entry.stray}")
                continue
            if entry.link:
                linked.add((path.parent / entry.link[0]).resolve())
            try:
                group = layout.item_group(file, entry.id, path)
                yield from (Problem(entry.id, what) for what in _verify_item(group))
            except StorageError as error:
                yield Problem(entry.id, str(error))
            except layout.H5_ERRORS as error:
                yield Problem(entry.id, f"cannot be read ({error})")


def _verify_item(group: h5py.Group) -> Iterator[str]:
    attributes.read_attrs(group)
    lengths: dict[str, int] = {}
    for name in sorted(group):
        dataset = group[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.ndim < 1:
            yield f"{name!r} is not an array [T, ...]"
            continue
        lengths[name] = dataset.shape[0]
        try:
            attributes.read_attrs(dataset)
            yield from (f"{name!r}: {what}" for what in _verify_dataset(name, dataset))
        except layout.H5_ERRORS as error:
            yield f"{name!r} cannot be read ({error})"
    for prefix in layout.STREAMS:
        here = {n: t for n, t in lengths.items() if layout.stream_of(n) == prefix}
        if here and len(set(here.values())) > 1:
            yield f"different lengths: {', '.join(f'{n} {t}' for n, t in here.items())}"
        if here and (missing := {prefix + "time", prefix + "frame"} - here.keys()):
            yield f"has no {' and no '.join(sorted(missing))}"
    if not lengths:
        yield "has no arrays"


def _verify_dataset(name: str, dataset: h5py.Dataset) -> Iterator[str]:
    """HDF5 checks each chunk as it is read; the crc32 of everything also finds chunks that a damaged index has lost
    (they read as zeros) or put in another's place."""
    expected = attributes.read_attr(dataset, layout.CRC32)
    row_bytes = max(1, dataset.dtype.itemsize * math.prod(dataset.shape[1:]))
    step = max(1, _READ_BYTES // row_bytes)
    if dataset.chunks:
        step = -(-step // dataset.chunks[0]) * dataset.chunks[0]
    is_time = layout.column_of(name) == "time"
    last, crc32, finite, increasing = -np.inf, 0, True, True
    for start in range(0, dataset.shape[0], step):
        rows = dataset[start : start + step]
        crc32 = zlib.crc32(rows, crc32)
        if rows.dtype.kind == "f":
            finite = finite and bool(np.isfinite(rows).all())
        if is_time:
            increasing = increasing and bool((np.diff(rows, prepend=last) > 0).all())
            last = rows[-1]
    if not dataset.fletcher32 or expected is None:
        yield "has no checksums"
    elif crc32 != expected:
        yield "does not have the bytes that were written"
    if not finite:
        yield "has values that are not finite"
    if not increasing:
        yield "does not increase"
