"""``--manifest`` on encode and svm: labels, groups and splits from a CSV instead of the stored ones."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidfeat.datasets.manifest import Manifest, read_manifest
from vidfeat.errors import UsageError

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class Annotation:
    """What is known about an item beside its numbers."""

    labels: tuple[str, ...]
    group: str
    splits: Mapping[str, str]


class Relabelling:
    """Replaces the columns that the manifest has, and keeps the stored values of the others; only listed items remain.

    Without a manifest everything stays as stored. A blank group without a source file to stand for it is the item's id;
    an item that is stored as its own group has the manifest's source file for one, without a column for groups too.
    """

    def __init__(self, manifest: Path | None, stored_ids: Sequence[str]) -> None:
        self.ids = list(stored_ids)
        self._columns: tuple[str, ...] = ()
        if manifest is None:
            return
        listed = read_manifest(manifest, need_paths=False)
        self._columns, self._split_columns = listed.columns, listed.split_columns
        self._items = {item.id: item for item in listed}
        self.ids = [item_id for item_id in stored_ids if item_id in self._items]
        self._compare(manifest, listed, stored_ids)

    def __call__(self, item_id: str, stored: Annotation) -> Annotation:
        """The annotation of a listed item."""
        if not self._columns:
            return stored
        item = self._items[item_id]
        # Of an item that is its own group nobody knew the source, as when features are imported: the manifest may,
        # and segments of one recording must not come apart.
        group = (item.group or item_id) if "group" in self._columns or stored.group in ("", item_id) else stored.group
        return Annotation(
            item.labels if "label" in self._columns else stored.labels,
            group,
            {**stored.splits, **{name: item.splits.get(name, "") for name in self._split_columns}},
        )

    def _compare(self, manifest: Path, listed: Manifest, stored_ids: Sequence[str]) -> None:
        absent = sorted(self._items.keys() - set(stored_ids))
        if not self.ids:
            raise UsageError(
                f"None of the {len(listed)} ids of {manifest} is in the file (first: {absent[0]!r}; the file's first: "
                f"{stored_ids[0] if stored_ids else None!r}). Ids must be equal, suffix included."
            )
        if absent:
            log.warning("%d ids of %s are not in the file (first: %r).", len(absent), manifest, absent[0])
        if extra := len(stored_ids) - len(self.ids):
            log.info("%d items of the file are not in %s and are left out.", extra, manifest)


def join_labels(labels: Sequence[str], renamed: Mapping[str, str]) -> tuple[str, ...]:
    """``labels`` with the keys of ``renamed`` replaced by its values, each label once."""
    return tuple(dict.fromkeys(renamed.get(label, label) for label in labels))
