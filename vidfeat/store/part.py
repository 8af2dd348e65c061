"""A part file: written under a temporary name, holding only whole items once it has its final one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
from h5py import h5g, h5p

from vidfeat.errors import StorageError
from vidfeat.store import attributes, layout, output
from vidfeat.store.rows import RowBuffer, append_blocks, create_dataset

# Far more attributes than an item has: all of them stay in the object header instead of a heap of their own.
_MOST_ATTRIBUTES = (255, 254)


class PartFile:
    """Write items into ``folder``/part-NNNN.h5.tmp; :meth:`publish` gives it its name, :meth:`abandon` removes it.

    Any error poisons the part: it is abandoned, and every later call raises StorageError.
    """

    def __init__(
        self, folder: Path, number: int, settings: Mapping[str, Any], run: Mapping[str, Any], compression: str
    ) -> None:
        self._target = folder / layout.part_name(number)
        self._compression = compression
        self._dead = False
        self._growing: dict[str, h5py.Dataset] = {}
        self._file = output.OutputFile(self._target.with_name(self._target.name + ".tmp"))
        self._guarded(layout.write_root, self._file.h5, settings, run)

    @property
    def size(self) -> int:
        return self._file.size

    def write_item(
        self, item_id: str, columns: Mapping[str, RowBuffer], attrs: Mapping[str, Any], notes: Mapping[str, dict]
    ) -> None:
        """Write a whole item at once."""
        self._guarded(self._write_item, item_id, columns, attrs, notes)

    def start_item(self, item_id: str) -> h5py.Group:
        """Begin an item that is written bit by bit."""
        return self._guarded(self._create_group, item_id)

    def extend_item(self, group: h5py.Group, columns: Mapping[str, RowBuffer]) -> None:
        """Append the full blocks that ``columns`` hold."""
        self._guarded(self._extend_item, group, columns, False)

    def finish_item(
        self, group: h5py.Group, columns: Mapping[str, RowBuffer], attrs: Mapping[str, Any], notes: Mapping[str, dict]
    ) -> None:
        """Write what ``columns`` still hold and all attributes."""
        self._guarded(self._extend_item, group, columns, True)
        self._guarded(self._finish_item, group, columns, attrs, notes)

    def publish(self) -> None:
        self._dead = True
        self._file.publish(self._target)

    def abandon(self) -> None:
        self._dead = True
        self._file.abandon()

    def _guarded(self, function, *args):
        if self._dead:
            raise StorageError(f"{self._target} was given up after an error. Run the same command again.")
        try:
            result = function(*args)
            self._file.check()
        except BaseException:
            self.abandon()
            # An error inside HDF5 may be the consequence of a failed write: that one is the reason to name.
            self._file.check()
            raise
        return result

    def _create_group(self, item_id: str) -> h5py.Group:
        links, creation = h5p.create(h5p.LINK_CREATE), h5p.create(h5p.GROUP_CREATE)
        links.set_create_intermediate_group(True)
        creation.set_attr_phase_change(*_MOST_ATTRIBUTES)
        creation.set_obj_track_times(False)
        return h5py.Group(h5g.create(self._file.h5[layout.ITEMS].id, item_id.encode(), links, creation))

    def _write_item(self, item_id, columns, attrs, notes) -> None:
        group = self._create_group(item_id)
        for name, column in columns.items():
            shape = (column.rows, *column.row_shape)
            dataset = create_dataset(
                group, name, column.dtype, shape, column.block_rows, self._compression, grows=False
            )
            append_blocks(dataset, column.take(rest=True), 0)
        self._finish_item(group, columns, attrs, notes)

    def _extend_item(self, group, columns, rest) -> None:
        for name, column in columns.items():
            blocks = column.take(rest)
            dataset = self._growing.get(name)
            if dataset is None:
                shape = (0, *column.row_shape)
                dataset = self._growing[name] = create_dataset(
                    group, name, column.dtype, shape, column.block_rows, self._compression, grows=True
                )
            if blocks:
                append_blocks(dataset, blocks, dataset.shape[0])

    def _finish_item(self, group, columns, attrs, notes) -> None:
        for name, column in columns.items():
            attributes.write_attrs(group[name], {**notes.get(name, {}), layout.CRC32: column.crc32})
        attributes.write_attrs(group, attrs)
        attributes.write_attrs(group, {layout.DONE: True})
