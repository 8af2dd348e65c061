"""Write features so that a crash at any moment loses at most the open part file.

Items are collected in memory until they are finished and then go whole into the current part file, which is closed,
synced and renamed after ``part_seconds`` or ``part_bytes``. An item that outgrows ``spill_bytes`` gets a part file of
its own, written as the rows come, so memory stays bounded for any length.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.errors import ItemError, StorageError
from vidfeat.ids import check_id
from vidfeat.store import layout
from vidfeat.store.packing import Packer
from vidfeat.store.part import PartFile
from vidfeat.store.rows import RowBuffer
from vidfeat.store.seal import seal
from vidfeat.store.session import IdSet, Session
from vidfeat.store.settings import canonical

COMPRESSIONS = ("none", "gzip")
_FORCED_TYPES = {"time": np.dtype(np.float64), "frame": np.dtype(np.int64)}
_RESERVED_ATTRS = frozenset({layout.DONE, "label", "group"})


class FeatureWriter:
    """Features of many items into the file ``out``, resumable.

    ``settings`` (flat, plain JSON values) are what must be equal for items to lie in one file: their SHA-256 is the
    fingerprint. ``run`` is kept beside them for people to read (paths, command line; ``run["shard"] = "i/n"`` marks a
    shard). ``done`` maps the ids of items that were finished before this run to the attributes that tell whether they
    must be done again (``state``, ``size``, ``mtime``, ``start``, ``end``, where stored). An item that is done again
    replaces the older one.

    Use it from one thread. Several items may be open at a time. End with :meth:`close` (all done) or :meth:`stop` (cut
    short); as a context manager it does the one or the other. A signal handler should set a flag for the loop that
    feeds the writer rather than raise: an exception in the midst of a write costs the open part.

    Raises UsageError if ``out`` is being written by another run, or holds items made with other settings and
    ``overwrite`` is not given; StorageError if the disk fails, after which only :meth:`stop` is of use.
    """

    def __init__(
        self,
        out: Path | str,
        settings: Mapping[str, Any],
        run: Mapping[str, Any],
        *,
        compression: str = "none",
        overwrite: bool = False,
        merge: bool = True,
        part_seconds: float = 60.0,
        part_bytes: int = 256 << 20,
        spill_bytes: int = 16 << 20,
    ) -> None:
        if compression not in COMPRESSIONS:
            raise ValueError(f"compression must be one of {', '.join(COMPRESSIONS)}; got {compression!r}")
        canonical(settings), canonical(run)  # refuse what cannot be stored before the lock is taken
        self.out = Path(out)
        self._settings, self._run, self._compression, self._merge = dict(settings), dict(run), compression, merge
        self._part_seconds, self._part_bytes, self._spill_bytes = part_seconds, part_bytes, spill_bytes
        self._packer = Packer() if compression == "gzip" else None
        self._part: PartFile | None = None
        self._opened_at = 0.0
        self._open_items: dict[str, ItemWriter] = {}
        self._session = Session(self.out, self._settings, self._run, overwrite)
        self.done: dict[str, dict[str, Any]] = self._session.done
        self._next_number = self._session.next_number
        self._known = IdSet(self.done)
        self._finished: set[str] = set()
        self._failure: StorageError | None = None

    def item(self, item_id: str) -> "ItemWriter":
        """Begin an item. ValueError if it is open or was finished in this run; UsageError for an id that cannot be;
        StorageError after an earlier one."""
        if self._failure:
            raise StorageError(f"Nothing more is written after an error. {self._failure}")
        check_id(item_id)
        if item_id in self._open_items or item_id in self._finished:
            raise ValueError(f"item {item_id!r} was already begun in this run")
        self._known.add(item_id)
        writer = self._open_items[item_id] = ItemWriter(self, item_id)
        return writer

    def tick(self) -> None:
        """Close the part file if its time is up. Call it now and then while no item comes to an end."""
        if self._part and (
            self._part.size >= self._part_bytes or time.monotonic() - self._opened_at >= self._part_seconds
        ):
            self._publish()

    def flush(self) -> None:
        """Close the part file now: every finished item is then safe on disk."""
        self._publish()

    def close(self) -> None:
        """Finish: close the last part, make ``out`` of all parts, release the lock. Open items are discarded."""
        try:
            self._discard_open()
            self._publish()
            seal(self.out, self._settings, self._run, self._merge)
        except BaseException:
            self.stop()
            raise
        self._release()

    def stop(self) -> None:
        """Cut short: keep every finished item in part files, discard open ones, release the lock. ``out`` is not made;
        the same run started again goes on from here. Harmless after :meth:`close` or a second time."""
        try:
            self._discard_open()
            self._publish()
        finally:
            self._release()

    def __enter__(self) -> "FeatureWriter":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self.close()
        else:
            self.stop()

    def _release(self) -> None:
        if self._packer is not None:
            self._packer.close()
        self._session.release()

    def _discard_open(self) -> None:
        for item in list(self._open_items.values()):
            item.discard()

    def _publish(self) -> None:
        part, self._part = self._part, None
        if part:
            with self._failing():
                part.publish()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Remember the StorageError that passes through: the run is over then."""
        try:
            yield
        except StorageError as error:
            self._failure = self._failure or error
            raise

    def _new_part(self) -> PartFile:
        self._session.require_lock()
        number, self._next_number = self._next_number, self._next_number + 1
        return PartFile(self._session.folder, number, self._settings, self._run, self._compression)

    def _store(self, item: "ItemWriter", attrs: Mapping[str, Any]) -> None:
        """Take a finished item from its writer to disk."""
        with self._failing():
            self._store_or_fail(item, attrs)
        self._finished.add(item.id)

    def _store_or_fail(self, item: "ItemWriter", attrs: Mapping[str, Any]) -> None:
        if item._own_part:
            item._own_part.finish_item(item._group, item._columns, attrs, item._notes)
            item._own_part.publish()
        else:
            if self._part is None:
                self._part, self._opened_at = self._new_part(), time.monotonic()
            try:
                self._part.write_item(item.id, item._columns, attrs, item._notes)
            except BaseException:
                self._part = None
                raise


class ItemWriter:
    """One item on its way to the file; made by :meth:`FeatureWriter.item`."""

    def __init__(self, writer: FeatureWriter, item_id: str) -> None:
        self.id = item_id
        self._writer = writer
        self._columns: dict[str, RowBuffer] = {}
        self._notes: dict[str, dict[str, Any]] = {}
        self._last_time: dict[str, float] = {}
        self._own_part: PartFile | None = None
        self._group = None
        self._open = True

    def append(self, name: str, rows: np.ndarray) -> None:
        """Add rows [n, ...] to the feature ``name``; they are copied. ``time`` (seconds) is stored as float64 and
        ``frame`` as int64, as are those of other streams, such as ``flow.time``.

        ItemError if a float array holds a value that is not finite, or times do not increase; the item is then
        discarded.
        """
        self._require_open()
        rows = np.asarray(rows)
        if forced := _FORCED_TYPES.get(layout.column_of(name)):
            rows = rows.astype(forced, copy=False)
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = self._new_column(name, rows)
        if rows.shape[1:] != column.row_shape or rows.dtype != column.dtype:
            raise ValueError(
                f"rows of {name!r} in {self.id!r} have shape {rows.shape[1:]} and type {rows.dtype}, "
                f"the rows before had {column.row_shape} and {column.dtype}"
            )
        if rows.dtype.kind == "f" and not np.isfinite(rows).all():
            self._fail(_not_finite(name, column.rows, rows))
        if forced is _FORCED_TYPES["time"] and len(rows):
            steps = np.diff(rows, prepend=self._last_time.get(name, -np.inf))
            if (steps <= 0).any():
                self._fail(f"{name!r} does not increase at row {column.rows + int(np.argmax(steps <= 0))}.")
            self._last_time[name] = rows[-1]
        column.append(rows)
        self._spill_if_large()
        self._writer.tick()

    def describe(self, name: str, attrs: Mapping[str, Any]) -> None:
        """Attach attributes to the dataset ``name`` itself, such as the bound of a quantised flow."""
        self._require_open()
        if layout.CRC32 in attrs:
            raise ValueError(f"the attribute {layout.CRC32!r} of a dataset is the store's own")
        self._notes.setdefault(name, {}).update(attrs)

    def finish(
        self,
        attrs: Mapping[str, Any],
        *,
        labels: Sequence[str] = (),
        group: str = "",
        splits: Mapping[str, str] | None = None,
    ) -> None:
        """The item is whole. ``splits`` are stored under their own names (``split``, ``split1``, ...).
        ValueError if there are no rows, or columns of different length.
        """
        self._require_open()
        self._check_columns()
        if clash := _RESERVED_ATTRS & attrs.keys():
            raise ValueError(f"{sorted(clash)} are set by finish() itself; use its arguments labels and group")
        stored = {**attrs, "label": "|".join(labels), "group": group, **(splits or {})}
        try:
            self._writer._store(self, stored)
        except BaseException:
            self.discard()
            raise
        self._close()
        self._writer.tick()

    def discard(self) -> None:
        """Forget the item; nothing of it stays on disk."""
        if self._own_part:
            self._own_part.abandon()
        self._close()

    def _fail(self, reason: str) -> None:
        self.discard()
        raise ItemError(reason)

    def _close(self) -> None:
        self._open = False
        self._columns, self._own_part, self._group = {}, None, None
        self._writer._open_items.pop(self.id, None)

    def _require_open(self) -> None:
        if not self._open:
            raise ValueError(f"item {self.id!r} is already finished or discarded")

    def _new_column(self, name: str, rows: np.ndarray) -> RowBuffer:
        if not name or "/" in name or "\0" in name or name == ".":
            raise ValueError(f"a feature name must be one non-empty HDF5 name without '/'; got {name!r}")
        if rows.ndim < 1 or rows.dtype.kind not in "fiu":
            raise ValueError(f"rows of {name!r} must be a number array [n, ...]; got {rows.dtype} {rows.shape}")
        return RowBuffer(rows.dtype, rows.shape[1:], self._writer._packer)

    def _spill_if_large(self) -> None:
        held = sum(column.held_bytes for column in self._columns.values())
        if self._own_part is None and held <= self._writer._spill_bytes:
            return
        try:
            with self._writer._failing():
                if self._own_part is None:
                    self._own_part = self._writer._new_part()
                    self._group = self._own_part.start_item(self.id)
                self._own_part.extend_item(self._group, self._columns)
        except BaseException:
            self.discard()
            raise

    def _check_columns(self) -> None:
        for stream in layout.STREAMS:
            here = {n: c for n, c in self._columns.items() if layout.stream_of(n) == stream}
            if not here:
                continue
            if missing := {stream + "time", stream + "frame"} - here.keys():
                raise ValueError(f"item {self.id!r} has {sorted(here)} but lacks {sorted(missing)}")
            if len({c.rows for c in here.values()}) > 1:
                counts = {n: c.rows for n, c in here.items()}
                raise ValueError(f"item {self.id!r} has columns of different length: {counts}")
        if not any(c.rows for c in self._columns.values()):
            raise ValueError(f"item {self.id!r} has no rows; an empty item is not stored but reported")


def _not_finite(name: str, before: int, rows: np.ndarray) -> str:
    bad = int(np.argmin(np.isfinite(rows).reshape(len(rows), -1).all(axis=1)))
    text = f"Feature {name!r} has a value that is not finite in row {before + bad}."
    if rows.dtype == np.float16:
        text += " float16 ends at 65504, so larger values overflow; store it with --dtype float32."
    return text
