"""Codes of fixed length, one row per item: codes.h5.

/                      attrs: format="vidfeat-codes", version=1, provenance (JSON), done=true (last)
/sets/<set>/codes      [N, D] float32, attr crc32; attrs of the group: blocks [[node, start, stop], ...]
/sets/<set>/order_error   [N] float64, attr crc32, only where known: share of frame pairs that the code puts in the
                       wrong order, 0…1; NaN for an item of one frame
/ids (sorted), /labels, /groups, /splits/<name>     [N] UTF-8 text of fixed length; several labels joined by |
"""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vidfeat.errors import UsageError
from vidfeat.ids import check_id
from vidfeat.store import attributes, fs, layout, output
from vidfeat.store.assemble import temporary_name
from vidfeat.store.reader import split_labels
from vidfeat.store.rows import RowBuffer, append_blocks, create_dataset

FORMAT, VERSION = "vidfeat-codes", 1


class CodesWriter:
    """Write codes row by row to ``out``, which appears (or is replaced) only when :meth:`close` succeeds.

    ``provenance`` (JSON-able) says where they come from: features, method, codebook. Use it from one thread, or as a
    context manager, which closes on success and abandons on an error. StorageError if the disk fails.
    """

    def __init__(self, out: Path | str, provenance: Mapping[str, Any]) -> None:
        self.out = Path(out)
        if not self.out.parent.is_dir():
            raise UsageError(f"The folder {self.out.parent} of the output {self.out.name} does not exist. Create it.")
        if self.out.is_dir():
            raise UsageError(f"The output {self.out} is a folder; give the name of a file, such as codes.h5.")
        with fs.writing(self.out):
            temporary = temporary_name(self.out)
            if temporary.exists():
                fs.unlink(temporary)
        self._file = output.OutputFile(temporary)
        self._sets: dict[str, tuple[RowBuffer, h5py.Dataset]] = {}
        self._order_error: dict[str, list[float]] = {}
        self._ids: list[str] = []
        self._labels: list[str] = []
        self._groups: list[str] = []
        self._splits: list[dict[str, str]] = []
        values = {"format": FORMAT, "version": VERSION, "provenance": json.dumps(dict(provenance), ensure_ascii=False)}
        self._guarded(lambda: attributes.write_attrs(self._file.h5["/"], values))

    @property
    def count(self) -> int:
        """Items appended so far."""
        return len(self._ids)

    def append(
        self,
        item_id: str,
        codes: Mapping[str, np.ndarray],
        labels: Sequence[str] = (),
        group: str = "",
        splits: Mapping[str, str] | None = None,
        order_error: Mapping[str, float] | None = None,
    ) -> None:
        """Add one item with its code [D] in every set. Ids come in sorted order, as feature files give them.

        ``order_error`` (set -> number in 0…1 or NaN): which sets have it, the first item decides for all.

        ValueError: another order, other sets or lengths than before, or a value that is not finite.
        """
        check_id(item_id)
        if self._ids and item_id <= self._ids[-1]:
            raise ValueError(f"ids must come sorted and once: {item_id!r} after {self._ids[-1]!r}")
        rows = {name: np.asarray(code, dtype=np.float32) for name, code in codes.items()}
        self._check(item_id, rows)
        errors = {name: float(value) for name, value in (order_error or {}).items()}
        self._check_order_error(item_id, rows, errors)
        self._guarded(lambda: self._append(rows))
        for name, value in errors.items():
            self._order_error.setdefault(name, []).append(value)
        self._ids.append(item_id)
        self._labels.append("|".join(labels))
        self._groups.append(group)
        self._splits.append(dict(splits or {}))

    def set_blocks(self, name: str, blocks: Sequence[tuple[int, int, int]]) -> None:
        """Say which columns of the set ``name`` belong to which node of a pyramid: (node, start, stop)."""
        table = np.asarray(blocks, dtype=np.int64).reshape(-1, 3)
        if name not in self._sets:
            raise ValueError(f"there is no set {name!r} yet; append the first item before its blocks")
        self._guarded(lambda: attributes.write_attrs(self._file.h5["sets"][name], {"blocks": table}))

    def close(self) -> None:
        """Write what is still held and put the file in its place."""
        self._guarded(self._finish)
        self._file.publish(self.out)

    def abandon(self) -> None:
        """Give up; what was at ``out`` before stays."""
        self._file.abandon()

    def __enter__(self) -> "CodesWriter":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _guarded(self, function) -> None:
        try:
            function()
            self._file.check()
        except BaseException:
            self._file.abandon()
            self._file.check()
            raise

    def _check(self, item_id: str, rows: Mapping[str, np.ndarray]) -> None:
        if not rows:
            raise ValueError(f"item {item_id!r} has no code")
        if self._ids and rows.keys() != self._sets.keys():
            raise ValueError(f"item {item_id!r} has the sets {sorted(rows)}, those before have {sorted(self._sets)}")
        for name, code in rows.items():
            if not name or "/" in name or name == ".":
                raise ValueError(f"a set must have a non-empty name without '/'; got {name!r}")
            if code.ndim != 1 or not code.size or not np.isfinite(code).all():
                raise ValueError(f"the code {name!r} of {item_id!r} must be a finite vector; got shape {code.shape}")
            if name in self._sets and code.shape != self._sets[name][0].row_shape:
                width = self._sets[name][0].row_shape[0]
                raise ValueError(f"the code {name!r} of {item_id!r} has length {len(code)}, those before have {width}")

    def _check_order_error(self, item_id: str, rows: Mapping[str, Any], errors: Mapping[str, float]) -> None:
        if unknown := sorted(errors.keys() - rows.keys()):
            raise ValueError(f"item {item_id!r} has an order error of {unknown}, but no codes of that name")
        if self._ids and errors.keys() != self._order_error.keys():
            raise ValueError(
                f"item {item_id!r} has an order error of {sorted(errors)}, those before of {sorted(self._order_error)}"
            )
        for name, value in errors.items():
            if not (0 <= value <= 1 or math.isnan(value)):
                raise ValueError(f"the order error of {item_id!r} in {name!r} is {value}; it is a share, 0…1 or NaN")

    def _append(self, rows: Mapping[str, np.ndarray]) -> None:
        for name, code in rows.items():
            if name not in self._sets:
                buffer = RowBuffer(code.dtype, code.shape)
                group = self._file.h5.create_group(f"sets/{name}")
                dataset = create_dataset(
                    group, "codes", code.dtype, (0, len(code)), buffer.block_rows, "none", grows=True
                )
                self._sets[name] = buffer, dataset
            buffer, dataset = self._sets[name]
            buffer.append(code[None])
            append_blocks(dataset, buffer.take(rest=False), dataset.shape[0])

    def _finish(self) -> None:
        h5 = self._file.h5
        for buffer, dataset in self._sets.values():
            append_blocks(dataset, buffer.take(rest=True), dataset.shape[0])
            attributes.write_attrs(dataset, {layout.CRC32: buffer.crc32})
        h5.require_group("sets")
        for name, errors in self._order_error.items():
            column = np.array(errors, dtype=np.float64)
            dataset = h5["sets"][name].create_dataset("order_error", data=column, chunks=column.shape, fletcher32=True)
            attributes.write_attrs(dataset, {layout.CRC32: zlib.crc32(column)})
        for name, texts in (("ids", self._ids), ("labels", self._labels), ("groups", self._groups)):
            write_texts(h5, name, texts)
        splits = h5.create_group("splits")
        for name in sorted({name for item in self._splits for name in item}):
            write_texts(splits, name, [item.get(name, "") for item in self._splits])
        attributes.write_attrs(h5["/"], {layout.DONE: True})


def write_texts(group: h5py.Group, name: str, texts: Sequence[str]) -> None:
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    length = max([1, *map(len, encoded)])
    kind = h5py.string_dtype("utf-8", length)
    checked = {"chunks": (len(texts),), "fletcher32": True} if texts else {}
    group.create_dataset(name, data=np.array(encoded, dtype=kind), **checked)


class CodesFile:
    """Codes of a file, read on demand. ``ids`` are sorted; row i of every array belongs to ``ids[i]``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._h5 = output.open_hdf5(path, "Make it with 'vidfeat encode FEATS -o codes.h5'.")
        try:
            self._read_head()
        except BaseException:
            self._h5.close()
            raise

    def _read_head(self) -> None:
        root = self._h5["/"]
        came = attributes.read_attr(root, "format"), attributes.read_attr(root, "version")
        if came != (FORMAT, VERSION):
            raise UsageError(
                f"{self.path} is not a codes file that this vidfeat reads: format and version are {came}, expected "
                f"{(FORMAT, VERSION)}. Make codes with 'vidfeat encode FEATS -o codes.h5'."
            )
        try:
            self.provenance: dict[str, Any] = json.loads(attributes.read_attr(root, "provenance"))
            self.ids: list[str] = read_texts(self._h5["ids"])
            self.labels: list[tuple[str, ...]] = [split_labels(text) for text in read_texts(self._h5["labels"])]
            self.groups: list[str] = read_texts(self._h5["groups"])
            splits = self._h5["splits"]
            self.splits: dict[str, list[str]] = {name: read_texts(splits[name]) for name in sorted(splits)}
            self.sets: list[str] = sorted(self._h5["sets"])
        except layout.H5_ERRORS as error:
            raise output.unreadable(self.path, "the list of items", error) from error

    def codes(self, name: str = "default") -> np.ndarray:
        """The codes [N, D] float32 of one set. UsageError if there is no such set; StorageError if damaged."""
        return self._column(name, "codes", "the codes")

    def code_rows(self, name: str = "default") -> "CodeRows":
        """The same, read as its rows are asked for: ``code_rows(name)[a:b]``, ``code_rows(name).shape``."""
        return CodeRows(self._set(name)["codes"], f"{self.path}, set {name!r}")

    def order_error(self, name: str = "default") -> np.ndarray | None:
        """Temporal order error [N] float64 of one set (see above), or None if the file does not have it.

        UsageError if there is no such set; StorageError if damaged.
        """
        return self._column(name, "order_error", "the order error") if "order_error" in self._set(name) else None

    def _column(self, name: str, column: str, said: str) -> np.ndarray:
        group = self._set(name)
        try:
            values, expected = group[column][()], attributes.read_attr(group[column], layout.CRC32)
        except layout.H5_ERRORS as error:
            raise output.unreadable(self.path, f"{said} of set {name!r}", error) from error
        if zlib.crc32(values) != expected:
            reason = ValueError("the bytes are not those that were written")
            raise output.unreadable(self.path, f"{said} of set {name!r}", reason)
        return values

    def blocks(self, name: str = "default") -> list[tuple[int, int, int]]:
        """(node, start, stop) of each pyramid node among the columns; empty for codes without a pyramid."""
        table = attributes.read_attr(self._set(name), "blocks")
        return [] if table is None else [tuple(row) for row in table.tolist()]

    def _set(self, name: str) -> h5py.Group:
        if name not in self.sets:
            raise UsageError(f"{self.path} has no set {name!r}; it has {', '.join(map(repr, self.sets))}.")
        return self._h5["sets"][name]

    def __len__(self) -> int:
        return len(self.ids)

    def close(self) -> None:
        self._h5.close()

    def __enter__(self) -> "CodesFile":
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.close()


class CodeRows:
    """Codes ``[N, D]`` that stay on disk; a slice of rows is an array. Open as long as its file is."""

    def __init__(self, dataset: h5py.Dataset, said: str) -> None:
        self._dataset, self._said = dataset, said
        self.shape: tuple[int, int] = dataset.shape
        self.dtype: np.dtype = dataset.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """StorageError if damaged: every chunk has a checksum."""
        try:
            return self._dataset[rows]
        except layout.H5_ERRORS as error:
            raise output.unreadable(self._said, f"rows {rows.start}…{rows.stop}", error) from error


def open_codes(path: Path | str) -> CodesFile:
    """Open a codes file. UsageError if it is missing or of another kind, StorageError if it is damaged."""
    return CodesFile(Path(path))


def read_texts(dataset: h5py.Dataset) -> list[str]:
    return [text.decode("utf-8", "surrogateescape") for text in dataset[()].tolist()]
