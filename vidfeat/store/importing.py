"""Bring features of other tools into a feature file.

Those tools keep neither times nor frame numbers, so ``frame`` is 0, 1, ..., T-1, the row number, and ``time`` is
frame / fps seconds if the caller knows the sampling rate, else the row number itself (as if one row were a second).
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from vidfeat.errors import ItemError, UsageError
from vidfeat.ids import check_ids
from vidfeat.store import layout, output
from vidfeat.store.writer import FeatureWriter

log = logging.getLogger("vidfeat")

_READ_BYTES = 8 << 20


class Imported(NamedTuple):
    """Ids now in the file, and those that could not be taken with the reason."""

    ids: list[str]
    failed: dict[str, str]


class _Candidate(NamedTuple):
    """An item of another tool: its file, and a function giving its arrays [T, ...] by name."""

    id: str
    path: Path
    arrays: Callable[[], dict[str, h5py.Dataset | np.ndarray]]


def import_features(
    sources: Sequence[Path | str],
    out: Path | str,
    kind: str,
    *,
    feature: str = "feature",
    fps: float | None = None,
    overwrite: bool = False,
) -> Imported:
    """Write ``out`` from features of other tools; resumable like every run.

    ``kind``:

    - ``npy``: folders (recursive) or files of ``.npy`` arrays [T, D], or [D] for one row; the id is the relative path
      without ``.npy``, the array is stored as ``feature``. Pickled objects are refused.
    - ``activitynet``: HDF5 with ``/<id>/<name>`` [T, D] (such as c3d_features), kept under its name, or bare ``/<id>``
      [T, D] at the root, stored as ``feature``.
    - ``hloc``: HDF5 with ``/<relative/path.jpg>/{global_descriptor, keypoints, ...}``: images, so every array becomes
      one row [1, ...].

    UsageError: unknown kind, a source that is missing or of another kind, ids that cannot be or occur twice. An item
    whose arrays do not fit (different lengths, not finite, no numbers) is left out and named in the result.
    """
    finders = {"npy": _find_npy, "activitynet": _find_activitynet, "hloc": _find_hloc}
    if kind not in finders:
        raise UsageError(f"Unknown kind of features {kind!r}; allowed are {', '.join(finders)}.")
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise UsageError(f"fps must be a positive number of rows per second; got {fps}.")
    if not sources:
        raise UsageError("Nothing to import was named.")
    files: list[h5py.File] = []
    try:
        found = [c for source in sources for c in finders[kind](Path(source), feature, files)]
        if not found:
            raise UsageError(f"{', '.join(map(str, sources))}: no features of kind {kind!r} found.")
        order = {item_id: i for i, item_id in enumerate(check_ids(c.id for c in found))}
        settings = {"import": kind, "feature": feature, "fps": fps}
        with FeatureWriter(out, settings, {"sources": [str(s) for s in sources]}, overwrite=overwrite) as writer:
            return _write(writer, sorted(found, key=lambda c: order[c.id]), fps)
    finally:
        for file in files:
            file.close()


def _write(writer: FeatureWriter, found: Sequence[_Candidate], fps: float | None) -> Imported:
    failed: dict[str, str] = {}
    ids = list(writer.done)
    for candidate in found:
        stat = candidate.path.stat()
        source = {"path": str(candidate.path), "size": stat.st_size, "mtime": stat.st_mtime}
        before = writer.done.get(candidate.id)
        if before and (before["size"], before["mtime"]) == (source["size"], source["mtime"]):
            continue
        if before:
            log.warning("%s: its source has changed, importing it again", candidate.id)
        try:
            _write_item(writer, candidate, source, fps)
        except ItemError as error:
            failed[candidate.id] = str(error)
            continue
        if not before:
            ids.append(candidate.id)
    return Imported(sorted(ids), failed)


def _write_item(writer: FeatureWriter, candidate: _Candidate, source: dict, fps: float | None) -> None:
    try:
        arrays = candidate.arrays()
    except (OSError, ValueError, EOFError) as error:
        raise ItemError(f"{candidate.path} cannot be read: {error}") from error
    for name, array in arrays.items():
        if array.ndim < 1 or array.dtype.kind not in "fiu":
            raise ItemError(f"{name!r} is {array.dtype} {array.shape}; number arrays [T, ...] are expected.")
        if name in ("time", "frame") or layout.stream_of(name):
            raise ItemError(f"{name!r} is a name that vidfeat keeps for its own arrays. Rename it before importing.")
    lengths = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ItemError(
            f"its arrays must have the same number of rows, and at least one; they have {lengths or 'none'}."
        )
    item = writer.item(candidate.id)
    try:
        for name, array in arrays.items():
            step = max(1, _READ_BYTES // max(1, array.dtype.itemsize * int(np.prod(array.shape[1:]))))
            for start in range(0, array.shape[0], step):
                rows = np.asarray(array[start : start + step])
                item.append(name, rows.astype(rows.dtype.newbyteorder("="), copy=False))
        frame = np.arange(next(iter(lengths.values())))
        item.append("frame", frame)
        item.append("time", frame / (fps or 1.0))
        item.finish({**source, "state": "done", "fps": fps})
    except layout.H5_ERRORS as error:
        item.discard()
        raise ItemError(f"{candidate.path} cannot be read: {error}") from error


def _find_npy(source: Path, feature: str, files: list[h5py.File]) -> Iterator[_Candidate]:
    if source.is_file() and source.suffix == ".npy":
        paths, root = [source], source.parent
    elif source.is_dir():
        paths, root = sorted(p for p in source.rglob("*.npy") if p.is_file()), source
    else:
        raise UsageError(f"{source} is neither a folder nor a .npy file.")
    for path in paths:
        yield _Candidate(path.relative_to(root).as_posix().removesuffix(".npy"), path, _npy_loader(path, feature))


def _npy_loader(path: Path, feature: str) -> Callable[[], dict[str, np.ndarray]]:
    def load() -> dict[str, np.ndarray]:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return {feature: array[None] if array.ndim == 1 else array}

    return load


def _find_activitynet(source: Path, feature: str, files: list[h5py.File]) -> Iterator[_Candidate]:
    for item_id, node in _nodes(source, files):
        if isinstance(node, h5py.Dataset):
            yield _Candidate(item_id, source, lambda node=node: {feature: node})
        elif arrays := _datasets(node):
            yield _Candidate(item_id, source, lambda arrays=arrays: arrays)


def _find_hloc(source: Path, feature: str, files: list[h5py.File]) -> Iterator[_Candidate]:
    for item_id, node in _nodes(source, files):
        if isinstance(node, h5py.Group) and (arrays := _datasets(node)):
            yield _Candidate(item_id, source, lambda arrays=arrays: {n: a[()][None] for n, a in arrays.items()})


def _datasets(group: h5py.Group) -> dict[str, h5py.Dataset]:
    return {name: node for name, node in group.items() if isinstance(node, h5py.Dataset)}


def _nodes(source: Path, files: list[h5py.File]) -> Iterator[tuple[str, h5py.Dataset | h5py.Group]]:
    """Datasets at the root, and groups at any depth."""
    file = output.open_hdf5(source, "HDF5 features of another tool are expected.")
    files.append(file)
    found: list[tuple[str, h5py.Dataset | h5py.Group]] = []
    try:
        file.visititems(
            lambda name, node: found.append((name, node)) if isinstance(node, h5py.Group) or "/" not in name else None
        )
    except layout.H5_ERRORS as error:
        raise output.unreadable(source, "the list of items", error) from error
    yield from found
