"""Turns the events of device workers into stored items, failures and progress."""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vidfeat.datasets.items import Item
from vidfeat.errors import ItemError
from vidfeat.stages.events import Event, Failed, Finished, Rows
from vidfeat.stages.tally import KEPT, Tally
from vidfeat.store import FeatureWriter, ItemWriter

log = logging.getLogger("vidfeat")


class Recorder:
    """Writes every finished item, and tells the tally what became of each.

    ``run_attrs`` go with every item, ``notes`` with datasets, by their names. ``counted`` is the stream whose rows the
    tally counts.
    """

    def __init__(
        self,
        writer: FeatureWriter,
        items: Iterable[Item],
        *,
        run_attrs: Mapping[str, Any],
        strict: bool,
        tally: Tally,
        notes: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        counted: str = "",
    ) -> None:
        self._writer, self._run_attrs, self._notes, self._counted = writer, run_attrs, notes, counted
        self._items = {item.id: item for item in items}
        self._strict, self._tally = strict, tally
        self._open: dict[str, ItemWriter] = {}

    def __call__(self, event: Event) -> None:
        if self._tally.lost(event.item_id):
            return
        match event:
            case Rows():
                self._rows(event)
            case Finished():
                self._finished(event)
            case Failed():
                self._fail(event.item_id, "failed", event.reason)

    def _rows(self, event: Rows) -> None:
        writer = self._open.get(event.item_id)
        if writer is None:
            writer = self._open[event.item_id] = self._writer.item(event.item_id)
            for name, attrs in self._notes.items():
                writer.describe(name, attrs)
        try:
            for name, values in event.features.items():
                writer.append(name, values)
            writer.append(event.stream + "time", event.times)
            writer.append(event.stream + "frame", event.frames)
        except (ItemError, ValueError) as error:  # ValueError: frames, and so maps, of another size than before
            self._fail(event.item_id, "failed", str(error))
            return
        if event.stream == self._counted:
            self._tally.add_frames(len(event.times))

    def _finished(self, event: Finished) -> None:
        if event.state not in KEPT or event.item_id not in self._open:
            self._fail(event.item_id, event.state, event.reason)
            return
        if event.state == "truncated" and self._strict:
            self._fail(event.item_id, "failed", f"truncated: {event.reason}")
            return
        item = self._items[event.item_id]
        self._open.pop(event.item_id).finish(
            {**event.attrs, **source_attrs(item), **self._run_attrs, "state": event.state},
            labels=item.labels,
            group=item.group,
            splits=item.splits,
        )
        self._tally.keep(event.item_id, event.state, event.reason)

    def _fail(self, item_id: str, state: str, reason: str) -> None:
        writer = self._open.pop(item_id, None)
        if writer is not None:
            writer.discard()
        self._tally.fail(item_id, state, reason)


def source_attrs(item: Item) -> dict[str, Any]:
    """Where an item came from, as HDF5 attributes."""
    size, mtime = source_stamp(item.path)
    attrs: dict[str, Any] = {"path": str(item.path), "size": size, "mtime": mtime}
    if item.start is not None:
        attrs["start"] = item.start
    if item.end is not None:
        attrs["end"] = item.end
    return attrs


def source_stamp(path: Path) -> tuple[int, float]:
    """Size in bytes and time of last change, or (-1, -1) if the file is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1.0
    return status.st_size, status.st_mtime


def unfinished(items: Iterable[Item], done: Mapping[str, Mapping[str, Any]], *, strict: bool) -> list[Item]:
    """The items that are still to be done, given the attributes of the finished ones; changes since then are said.

    ``strict`` takes kept truncated items up again: they may be whole by now, and fail otherwise.
    """
    items = list(items)
    again = set(changed_sources(items, done))
    for item_id in sorted(again):
        log.warning("%s: the source file or segment has changed since it was extracted; it is done again.", item_id)
    if strict:
        again |= {item.id for item in items if item.id in done and done[item.id].get("state") == "truncated"}
    todo = [item for item in items if item.id not in done or item.id in again]
    renamed = [item.id for item in items if item.id in done and item.id not in again and _annotated_anew(item, done)]
    if renamed:
        log.warning(
            "%d finished items have another label or group now (first: %r). The file keeps the old ones: give "
            "the manifest to 'encode --manifest' or 'svm train --manifest'.",
            len(renamed),
            renamed[0],
        )
    return todo


def _annotated_anew(item: Item, done: Mapping[str, Mapping[str, Any]]) -> bool:
    attrs = done[item.id]
    return (attrs.get("label"), attrs.get("group")) != ("|".join(item.labels), item.group)


def changed_sources(items: Iterable[Item], done: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Ids of finished items whose source file or segment is no longer what it was when they were extracted.

    A source that has vanished is not a change: its features are kept.
    """
    changed = []
    for item in items:
        attrs = done.get(item.id)
        if attrs is None:
            continue
        stamp = source_stamp(item.path)
        segment = (attrs.get("start"), attrs.get("end"))
        if (stamp != (-1, -1.0) and stamp != (attrs["size"], attrs["mtime"])) or segment != (item.start, item.end):
            changed.append(item.id)
    return changed
