"""Make one feature file of several: by copying items as they are stored, or by linking to them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
from h5py import h5o, h5p

from vidfeat.store import layout, output

# Room for the index of the new file beyond its data.
_MARGIN_BYTES = 1 << 20


class Source(NamedTuple):
    """A file and what to take from it: ids, each with its external link (file, object) or None; ``part`` names it."""

    path: Path
    ids: Mapping[str, tuple[str, str] | None]
    part: str


def temporary_name(out: Path) -> Path:
    return out.with_name(out.name + ".tmp")


def total_bytes(sources: Sequence[Source]) -> int:
    """Bytes that a copy of ``sources`` needs at most."""
    files = {s.path for s in sources} | {s.path.parent / link[0] for s in sources for link in s.ids.values() if link}
    return sum(path.stat().st_size for path in files if path.exists()) + _MARGIN_BYTES


def copy_file(
    out: Path,
    sources: Sequence[Source],
    settings: Mapping[str, Any],
    run: Mapping[str, Any],
    merged: frozenset[str] = frozenset(),
) -> None:
    """Copy items into a new file that then replaces ``out``. Chunks are copied as they lie, checksums included.

    StorageError if a source cannot be read or the file not be written; ``out`` is then as before.
    """
    new = output.OutputFile(temporary_name(out))
    try:
        layout.write_root(new.h5, settings, run, merged)
        for source in sources:
            _copy_items(source, new)
        new.check()
    except BaseException:
        new.abandon()
        new.check()
        raise
    new.publish(out)


def _copy_items(source: Source, new: output.OutputFile) -> None:
    how, links = h5p.create(h5p.OBJECT_COPY), h5p.create(h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    target = new.h5[layout.ITEMS].id
    with output.open_readonly(source.path) as file:
        for item_id in source.ids:
            group = layout.item_group(file, item_id, source.path)
            try:
                h5o.copy(group.id, b".", target, item_id.encode(), how, links)
            except layout.H5_ERRORS as error:
                new.check()
                raise output.unreadable(source.path, f"item {item_id!r}", error) from error
            new.check()


def link_file(out: Path, sources: Sequence[Source], settings: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Write a file of external links, relative to the folder of ``out``, that then replaces ``out``."""
    new = output.OutputFile(temporary_name(out))
    try:
        layout.write_root(new.h5, settings, run)
        items = new.h5[layout.ITEMS]
        for item_id, (file, inside) in link_map(out, sources).items():
            items[item_id] = h5py.ExternalLink(file, inside)
        new.check()
    except BaseException:
        new.abandon()
        new.check()
        raise
    new.publish(out)


def link_map(out: Path, sources: Sequence[Source]) -> dict[str, tuple[str, str]]:
    """Id -> (file relative to the folder of ``out``, object in it), links in a source followed to where they lead."""
    found = {}
    for source in sources:
        for item_id, link in source.ids.items():
            path = source.path.parent / link[0] if link else source.path
            found[item_id] = (os.path.relpath(path, out.parent), link[1] if link else f"/{layout.ITEMS}/{item_id}")
    return found
