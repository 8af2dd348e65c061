"""The start of a run: take the lock, clear what a crash left behind, find what is finished, compare settings."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vidfeat.errors import StorageError, UsageError
from vidfeat.store import attributes, fs, layout
from vidfeat.store.assemble import temporary_name
from vidfeat.store.lock import OutputLock
from vidfeat.store.seal import into_parts
from vidfeat.store.settings import check_settings, settings_differences

# What a rerun needs of each finished item; reading all attributes of 20,000 items takes half a minute.
KEPT = ("state", "size", "mtime", "start", "end", "label", "group")

log = logging.getLogger("vidfeat")


class IdSet:
    """Ids that may lie in one file together: none is a path prefix of another."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids: set[str] = set()
        self._folders: set[str] = set()
        for item_id in ids:
            self.add(item_id)

    def add(self, item_id: str) -> None:
        """UsageError if ``item_id`` is a folder of another id, or the other way round."""
        prefixes = [item_id[:i] for i, char in enumerate(item_id) if char == "/"]
        clash = next((p for p in prefixes if p in self._ids), None)
        if clash is not None or item_id in self._folders:
            shorter, longer = (clash, item_id) if clash is not None else (item_id, "one already in the file")
            raise UsageError(
                f"Item id {shorter!r} is a path prefix of {longer!r}: one name cannot be both an item and a folder of "
                f"items. Write to another file, or name the item yourself in a manifest (CSV with header id,path)."
            )
        self._ids.add(item_id)
        self._folders.update(prefixes)


class Session:
    """The lock on ``out`` and what was there: ``done`` (id -> attributes), ``next_number`` for part files."""

    def __init__(self, out: Path, settings: Mapping[str, Any], run: Mapping[str, Any], overwrite: bool) -> None:
        if not out.parent.is_dir():
            raise UsageError(f"The folder {out.parent} of the output {out.name} does not exist. Create it first.")
        if out.is_dir():
            raise UsageError(f"The output {out} is a folder; give the name of a file, such as {out / 'feats.h5'}.")
        self.out, self.folder = out, layout.parts_folder(out)
        self._shard = layout.shard_of(run)
        self.done: dict[str, dict[str, Any]] = {}
        self._lock: OutputLock | None = OutputLock(self.folder)
        try:
            with fs.writing(self.folder):
                if overwrite:
                    self._remove_old()
                self._remove_temporary()
                self._load(settings)
            parts = layout.list_parts(self.folder)
            # Number 0 is kept for an OUT that moves among the parts when OUT becomes a file of links.
            self.next_number = max((layout.part_number(p) for p in parts), default=0) + 1
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        lock, self._lock = self._lock, None
        if lock:
            lock.release()

    def require_lock(self) -> None:
        if self._lock is None:
            raise ValueError(f"the writer of {self.out} is closed")

    def _remove_old(self) -> None:
        if self.out.exists():
            try:
                layout.open_features_file(self.out)[0].close()
            except UsageError as error:
                raise UsageError(
                    f"{error} --overwrite replaces feature files only; if this one may go, remove it yourself."
                ) from error
            except StorageError:
                log.warning("%s is damaged; overwriting it", self.out)
            fs.unlink(self.out)
            fs.fsync_dir(self.out.parent)
        for part in layout.list_parts(self.folder):
            fs.unlink(part)
        fs.fsync_dir(self.folder)

    def _remove_temporary(self) -> None:
        for leftover in [temporary_name(self.out), *self.folder.glob("part-*.h5.tmp")]:
            if leftover.exists():
                fs.unlink(leftover)

    def _load(self, settings: Mapping[str, Any]) -> None:
        merged: frozenset[str] = frozenset()
        void = False
        if self.out.exists():
            file, root = layout.open_features_file(self.out)
            with file:
                links = layout.finished_ids(file, self.out)
                # Where every item failed, nothing is lost with the other settings.
                void = not links and bool(settings_differences(root.settings, settings))
                if not void:
                    self._compare(self.out, root, settings)
                merged = root.merged
                self._collect(file, self.out, (i for i, link in links.items() if not into_parts(self.out, link)))
        for part in layout.list_parts(self.folder):
            file, root = layout.open_features_file(part)
            with file:
                self._compare(part, root, settings)
                leftover = root.part in merged
                if not leftover:
                    self._collect(file, part, layout.finished_ids(file, part))
            if leftover:
                fs.unlink(part)
        if void:
            log.info("%s holds no item; it is made anew with the settings of this run.", self.out)
            fs.unlink(self.out)
            fs.fsync_dir(self.out.parent)

    def _collect(self, file, path: Path, ids: Iterable[str]) -> None:
        for item_id in ids:
            group = layout.item_group(file, item_id, path)
            self.done[item_id] = {n: attributes.read_attr(group, n) for n in KEPT if attributes.has_attr(group, n)}

    def _compare(self, path: Path, root: layout.Root, settings: Mapping[str, Any]) -> None:
        check_settings(path, root.settings, settings)
        if root.shard != self._shard:
            was, now = (f"shard {s[0]}/{s[1]}" if s else "a run without --shard" for s in (root.shard, self._shard))
            raise UsageError(f"{path} holds {was}, this is {now}. Give every shard an output of its own.")
