"""Read feature files: finished, made of links, or still being written."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from vidfeat.errors import UsageError
from vidfeat.store import attributes, layout, output

# Part files held open at a time while a run is in progress; a day of parts exceeds the usual limit on open files.
_OPEN_PARTS = 16


def open_features(path: Path | str) -> "FeatureFile":
    """Open ``path`` for reading. While a run is still going and ``path`` is not there yet, its finished parts are read.

    UsageError if there is no such file, or it is not HDF5, of another format, or of another version.
    """
    return FeatureFile(Path(path))


class FeatureFile:
    """Items by id, in sorted order: ``file["run/a.mp4"]["fc7"]``. Use it from one thread, or open it once in each.

    ``settings`` are those of the extraction, ``fingerprint`` their SHA-256, ``run`` what was kept beside them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        parts = layout.list_parts(layout.parts_folder(path))
        self.in_progress = not path.exists() and bool(parts)
        self._paths = parts if self.in_progress else [path]
        self._open: dict[Path, h5py.File] = {}
        file, self._root = layout.open_features_file(self._paths[0])
        self._open[self._paths[0]] = file
        self._index: dict[str, Path] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self._root.settings)

    @property
    def fingerprint(self) -> str:
        return self._root.fingerprint

    @property
    def run(self) -> dict[str, Any]:
        return dict(self._root.run)

    @property
    def shard(self) -> tuple[int, int] | None:
        """(index, count) of a file written with --shard, else None."""
        return self._root.shard

    @property
    def ids(self) -> list[str]:
        return list(self._where())

    @property
    def has_links(self) -> bool:
        """Whether items lie in other files, which must be moved together with this one."""
        return any(link for path in self._paths for link in layout.finished_ids(self._file(path), path).values())

    def __len__(self) -> int:
        return len(self._where())

    def __iter__(self) -> Iterator[str]:
        return iter(self._where())

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._where()

    def __getitem__(self, item_id: str) -> "StoredItem":
        """UsageError if there is no such item."""
        where = self._where().get(item_id)
        if where is None:
            raise UsageError(f"{self.path} has no item {item_id!r}; it has {len(self)} items, see its ids.")
        return StoredItem(item_id, layout.item_group(self._file(where), item_id, where), where)

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()

    def __enter__(self) -> "FeatureFile":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FeatureFile({str(self.path)!r}, {len(self)} items)"

    def _where(self) -> dict[str, Path]:
        if self._index is None:
            found = {i: path for path in self._paths for i in layout.finished_ids(self._file(path), path)}
            self._index = {item_id: found[item_id] for item_id in sorted(found)}
        return self._index

    def _file(self, path: Path) -> h5py.File:
        file = self._open.pop(path, None)
        if file is None:
            file = layout.open_features_file(path)[0]
            if len(self._open) >= _OPEN_PARTS:
                # Groups in the caller's hands keep an HDF5 file alive until they go, so only our handle is dropped.
                self._open.pop(next(iter(self._open)))
        self._open[path] = file
        return file


class StoredItem:
    """One finished item: feature arrays by name, times, and what is known about it."""

    def __init__(self, item_id: str, group: h5py.Group, path: Path) -> None:
        self.id, self._group, self._path = item_id, group, path

    @property
    def names(self) -> list[str]:
        """Feature names, sorted; ``time`` and ``frame`` are not among them."""
        return [name for name in self.columns if layout.column_of(name) not in ("time", "frame")]

    @property
    def columns(self) -> list[str]:
        """Every dataset, sorted: features, times and frames."""
        return sorted(self._group)

    def __contains__(self, name: str) -> bool:
        return name in self._group

    def __getitem__(self, name: str) -> np.ndarray:
        """The whole array [T, ...]."""
        return self._read(name, slice(None))

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of an array."""
        return self._read(name, slice(start, stop))

    def shape(self, name: str) -> tuple[int, ...]:
        return self.dataset(name).shape

    def dtype(self, name: str) -> np.dtype:
        return self.dataset(name).dtype

    @property
    def time(self) -> np.ndarray:
        """[T] float64, seconds."""
        return self["time"]

    @property
    def frame(self) -> np.ndarray:
        """[T] int64, index of the frame in its stream."""
        return self["frame"]

    @property
    def attrs(self) -> dict[str, Any]:
        try:
            return attributes.read_attrs(self._group)
        except layout.H5_ERRORS as error:
            raise output.unreadable(self._path, f"the attributes of item {self.id!r}", error) from error

    def notes(self, name: str) -> dict[str, Any]:
        """Attributes of the dataset ``name`` itself, without the store's checksum."""
        return {n: v for n, v in attributes.read_attrs(self.dataset(name)).items() if n != layout.CRC32}

    @property
    def labels(self) -> tuple[str, ...]:
        return split_labels(attributes.read_attr(self._group, "label", ""))

    @property
    def group(self) -> str:
        return attributes.read_attr(self._group, "group", "")

    @property
    def splits(self) -> dict[str, str]:
        """Split column -> train, val, test or empty."""
        return {name: value for name, value in self.attrs.items() if name.startswith("split")}

    def dataset(self, name: str) -> h5py.Dataset:
        """The stored dataset. UsageError if the item has none of that name."""
        try:
            found = self._group.get(name)
        except layout.H5_ERRORS as error:
            raise output.unreadable(self._path, f"{name!r} of item {self.id!r}", error) from error
        if not isinstance(found, h5py.Dataset):
            # What goes by this name in the other stream is what was meant: flow.time where there is no time.
            like = [column for column in self.columns if layout.column_of(column) == layout.column_of(name)]
            there = ", ".join(like or self.names)
            raise UsageError(f"Item {self.id!r} of {self._path} has no {name!r}; it has {there}.")
        return found

    def _read(self, name: str, rows: slice) -> np.ndarray:
        dataset = self.dataset(name)
        try:
            return dataset[rows]
        except layout.H5_ERRORS as error:
            raise output.unreadable(self._path, f"{name!r} of item {self.id!r}", error) from error

    def __repr__(self) -> str:
        return f"StoredItem({self.id!r}, {self.names})"


def split_labels(text: str) -> tuple[str, ...]:
    """``"a|b"`` -> ("a", "b"); empty text -> ()."""
    return tuple(text.split("|")) if text else ()
