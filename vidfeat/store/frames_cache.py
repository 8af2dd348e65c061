"""Decoded frames on disk, so that an epoch of training never waits for a decoder.

``FOLDER/FINGERPRINT/ab/HASH.NAME`` holds the bytes of one uint8 array ``[T, …]``, HASH is the SHA-256 of the item's id.
``HASH.json``, written last, says what they are: an item without it is not there. Plain bytes instead of HDF5, because
several processes read slices of them at the speed of memory.
"""

import hashlib
import json
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.store import fs
from vidfeat.store.run import write_json
from vidfeat.store.settings import fingerprint

# Machines that share a cache may have processes of the same number. Only letters that mean nothing in a pattern.
_HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())


@dataclass(frozen=True)
class CachedItem:
    """One item's arrays by name, mapped from disk, and what became of it when it was decoded."""

    id: str
    arrays: Mapping[str, np.ndarray]
    state: str
    reason: str


class FramesCache:
    """Frames of items that were decoded with one set of settings; others lie beside it in the same folder.

    Args:
        folder: of the cache; made if it is not there.
        settings: all that the pixels depend on, plain JSON values.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder / fingerprint(settings)[:16]
        with fs.writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "settings.json").is_file():
            write_json(self.folder / "settings.json", dict(settings))

    def read(self, item_id: str, source: Sequence[Any]) -> CachedItem | None:
        """The item, or None if it is not there whole, or was made from something else than this source."""
        base = self._base(item_id)
        try:
            said = json.loads(base.with_suffix(".json").read_text(encoding="utf-8"))
            if said["id"] != item_id or said["source"] != list(source):
                return None
            arrays = {name: _mapped(base.with_suffix(f".{name}"), shape) for name, shape in said["shapes"].items()}
        except (OSError, ValueError, KeyError):
            return None
        return CachedItem(item_id, arrays, said["state"], said["reason"])

    def write(self, item_id: str, source: Sequence[Any]) -> "CacheWriter":
        """Begin an item; a context manager that leaves nothing behind unless ``finish`` was called.

        ``source`` are plain JSON values that tell whether the file is still the same, such as its size and time.
        """
        base = self._base(item_id)
        with fs.writing(base):
            base.parent.mkdir(exist_ok=True)
            _sweep(base)
        return CacheWriter(item_id, base, list(source))

    def remove(self, item_id: str) -> None:
        """Forget the item, and free its space; those who still have its arrays keep them."""
        base = self._base(item_id)
        for path in (base.with_suffix(".json"), *sorted(base.parent.glob(f"{base.name}.*"))):
            path.unlink(missing_ok=True)

    def _base(self, item_id: str) -> Path:
        name = hashlib.sha256(item_id.encode("utf-8", "surrogatepass")).hexdigest()
        return self.folder / name[:2] / name[2:34]


class CacheWriter:
    """Frames of one item as they come; see :meth:`FramesCache.write`."""

    def __init__(self, item_id: str, base: Path, source: Sequence[Any]) -> None:
        self._id, self._base, self._source = item_id, base, source
        self._open: dict[str, tuple[Path, int]] = {}
        self._shapes: dict[str, list[int]] = {}

    def add(self, name: str, rows: np.ndarray) -> None:
        """More rows ``[n, …]`` uint8 of the array ``name``, of one shape throughout."""
        path, fd = self._open[name] if name in self._open else self._begin(name, rows)
        shape = self._shapes[name]
        if list(rows.shape[1:]) != shape[1:] or rows.dtype != np.uint8:
            raise ValueError(f"rows of {name} are {rows.dtype} {list(rows.shape)} after {shape}")
        with fs.writing(path):
            fs.pwrite(fd, np.ascontiguousarray(rows).data, shape[0] * int(np.prod(shape[1:])))
        shape[0] += len(rows)

    def rows(self, name: str) -> int:
        """How many there are of an array so far."""
        return self._shapes.get(name, [0])[0]

    def finish(self, state: str, reason: str) -> None:
        """The arrays are whole: put them in their places, and say so."""
        for name, (path, fd) in self._open.items():
            with fs.writing(path):
                fs.fsync(fd)
                fs.rename(path, self._base.with_suffix(f".{name}"))
        said = {"id": self._id, "source": self._source, "state": state, "reason": reason, "shapes": self._shapes}
        write_json(self._base.with_suffix(".json"), said)

    def __enter__(self) -> "CacheWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        for path, fd in self._open.values():
            os.close(fd)
            path.unlink(missing_ok=True)

    def _begin(self, name: str, rows: np.ndarray) -> tuple[Path, int]:
        path = self._base.with_name(f".{self._base.name}.{os.getpid()}@{_HOST}.{name}.tmp")
        with fs.writing(path):
            path.unlink(missing_ok=True)  # left by a process that was killed and had our pid
            self._open[name] = path, fs.open_new(path)
        self._shapes[name] = [0, *rows.shape[1:]]
        return self._open[name]


def _sweep(base: Path) -> None:
    """Remove what processes of this machine that were killed have left of the item, which may be many bytes."""
    for path in base.parent.glob(f".{base.name}.*@{_HOST}.*.tmp"):
        pid = path.name.removeprefix(f".{base.name}.").partition("@")[0]
        if not _runs(int(pid)):
            path.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _mapped(path: Path, shape: Sequence[int]) -> np.ndarray:
    """The array in a file, without reading it; OSError unless the file has just that many bytes."""
    if path.stat().st_size != int(np.prod(shape)):
        raise OSError(f"{path} has not the size of {list(shape)}")
    if 0 in shape:
        return np.empty(tuple(shape), np.uint8)
    return np.memmap(path, np.uint8, "r", shape=tuple(shape))
