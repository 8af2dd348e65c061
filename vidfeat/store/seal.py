"""The end of a run: make OUT of the part files.

One part alone is renamed. Several, or an older OUT and parts, are copied into OUT.tmp, which then replaces OUT, after
which the parts go. Where there is no room for the copy, OUT becomes a file of links to the parts. At every moment OUT
and the parts together hold every finished item.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidfeat.errors import StorageError
from vidfeat.store import fs, layout
from vidfeat.store.assemble import Source, copy_file, link_file, link_map, total_bytes

log = logging.getLogger("vidfeat")


def seal(out: Path, settings: Mapping[str, Any], run: Mapping[str, Any], merge: bool) -> None:
    """Make ``out`` of itself and its parts; the caller holds the lock. StorageError leaves all of them in place."""
    parts = [_source(part) for part in layout.list_parts(layout.parts_folder(out))]
    old = _source(out) if out.exists() else None
    if not parts:
        if old is None:
            copy_file(out, [], settings, run)
        return
    # Links of an older OUT into its own parts say nothing that the parts do not say themselves.
    foreign = {i: link for i, link in old.ids.items() if not into_parts(out, link)} if old else {}
    sources = _winners([Source(out, foreign, ""), *parts])
    if len(sources) == 1 and sources[0].path != out:
        with fs.writing(out):
            fs.rename(sources[0].path, out)
            fs.fsync_dir(out.parent)
    elif not merge or not _room(out, sources) or not _copied(out, sources, settings, run, parts):
        _link(out, old, sources, settings, run, merge)
        return
    with fs.writing(layout.parts_folder(out)):
        for part in parts:
            if part.path.exists():
                fs.unlink(part.path)


def into_parts(out: Path, link: tuple[str, str] | None) -> bool:
    """Whether an external link found in ``out`` leads to one of its own part files."""
    return link is not None and (out.parent / link[0]).parent == layout.parts_folder(out)


def _source(path: Path) -> Source:
    file, root = layout.open_features_file(path)
    with file:
        return Source(path, layout.finished_ids(file, path), root.part)


def _winners(sources: Sequence[Source]) -> list[Source]:
    """Every id in the last source that has it; sources that have nothing left are dropped."""
    last = {item_id: source.path for source in sources for item_id in source.ids}
    kept = [Source(s.path, {i: k for i, k in s.ids.items() if last[i] == s.path}, s.part) for s in sources]
    return [source for source in kept if source.ids]


def _room(out: Path, sources: Sequence[Source]) -> bool:
    need, free = total_bytes(sources), fs.free_bytes(out.parent)
    if need > free:
        log.warning("%s: merging the parts needs %d MB, %d MB are free", out, need >> 20, free >> 20)
    return need <= free


def _copied(
    out: Path, sources: Sequence[Source], settings: Mapping[str, Any], run: Mapping[str, Any], parts: Sequence[Source]
) -> bool:
    """Copy ``sources`` into ``out``; False if a quota or a file size limit, which free space does not show, forbids."""
    try:
        copy_file(out, sources, settings, run, frozenset(part.part for part in parts))
    except StorageError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in fs.NO_SPACE:
            log.warning("%s: no room to merge the parts (%s)", out, error.__cause__.strerror)
            return False
        raise
    return True


def _link(
    out: Path,
    old: Source | None,
    sources: Sequence[Source],
    settings: Mapping[str, Any],
    run: Mapping[str, Any],
    merge: bool,
) -> None:
    folder = layout.parts_folder(out)
    if old and old.ids == link_map(out, sources):
        return
    if any(source.path == out and None in source.ids.values() for source in sources):
        home = folder / layout.part_name(0)
        with fs.writing(home):
            fs.rename(out, home)
            fs.fsync_dir(folder)
        sources = [Source(home, s.ids, s.part) if s.path == out else s for s in sources]
    link_file(out, sources, settings, run)
    later = "; the same command merges them once there is room" if merge else ""
    log.warning("%s is a file of links to the parts in %s%s. Keep and move both together.", out, folder, later)
