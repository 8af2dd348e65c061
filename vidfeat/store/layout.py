"""Where things are: names of files and groups, the attributes of the root, and telling items from folders.

    /                     attrs: format, version, config (JSON), fingerprint, run (JSON), part,
                          [merged], [shard_index, shard_count]
    /items/<id>/<name>    [T, ...] with fletcher32, attrs: crc32 of all its bytes
    /items/<id>/time      [T] seconds, frame [T]: of all names but flow and flow.*, which have flow.time and flow.frame,
                          and code.* [1, D], codes of the whole item, which have code.time and code.frame (the first)
    /items/<id>           attrs: all that is known of the item, done=true last

``part`` is a random name that every written file gets; ``merged`` lists those of the part files copied into this one,
so that part files left by a crash between the renaming of OUT and their removal are known to be leftovers.
"""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5a, h5g, h5l, h5o

from vidfeat.errors import StorageError, UsageError
from vidfeat.store import attributes, output
from vidfeat.store.settings import canonical, fingerprint

FORMAT, VERSION = "vidfeat-features", 1
ITEMS = "items"
DONE = "done"
CRC32 = "crc32"

_PART = re.compile(r"part-(\d+)\.h5")
_SHARD = re.compile(r"(\d+)/(\d+)")

# What h5py raises for bytes on disk that make no sense to HDF5.
H5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, SystemError)


# What the times and frames of datasets begin with. Rows of one stream belong together; another has its own number.
STREAMS = ("", "flow.", "code.")


def stream_of(name: str) -> str:
    """What the times and frames of the dataset ``name`` begin with: ``flow.`` for flow and its features, ``code.`` for
    codes of whole items, else nothing.

    Flow leads from one frame to the next, so it has fewer rows than the features of the frames themselves.
    """
    return "flow." if name == "flow" else next((s for s in STREAMS[1:] if name.startswith(s)), "")


def column_of(name: str) -> str:
    """``time`` or ``frame`` for those of any stream; for a feature its name without the stream."""
    return name.removeprefix(stream_of(name))


def parts_folder(out: Path) -> Path:
    return out.with_name(out.name + ".parts")


def part_name(number: int) -> str:
    return f"part-{number:04d}.h5"


def list_parts(folder: Path) -> list[Path]:
    """Finished part files by number, the oldest first; later ones win where both hold an item."""
    found = []
    if folder.is_dir():
        found = [(int(match[1]), path) for path in folder.iterdir() if (match := _PART.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def part_number(path: Path) -> int:
    return int(_PART.fullmatch(path.name)[1])


class Root(NamedTuple):
    """What the root of a feature file says about all of it."""

    settings: dict[str, Any]
    fingerprint: str
    run: dict[str, Any]
    part: str
    merged: frozenset[str]
    shard: tuple[int, int] | None


def shard_of(run: Mapping[str, Any]) -> tuple[int, int] | None:
    """(index, count) of a run with ``run["shard"] == "i/n"``; UsageError for anything else in its place."""
    if (text := run.get("shard")) is None:
        return None
    match = _SHARD.fullmatch(str(text))
    if not match or int(match[1]) >= int(match[2]):
        raise UsageError(f"A shard is written i/n with 0 <= i < n, e.g. 3/16; got {text!r}.")
    return int(match[1]), int(match[2])


def write_root(
    file: h5py.File,
    settings: Mapping[str, Any],
    run: Mapping[str, Any],
    merged: frozenset[str] = frozenset(),
) -> None:
    """Write the root attributes and the empty group of items."""
    values: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "config": canonical(settings),
        "fingerprint": fingerprint(settings),
        "run": canonical(run),
        "part": uuid.uuid4().hex[:16],
    }
    if merged:
        values["merged"] = np.array(sorted(merged), dtype="S16")
    if shard := shard_of(run):
        values["shard_index"], values["shard_count"] = shard
    attributes.write_attrs(file["/"], values)
    file.create_group(ITEMS)


def read_root(file: h5py.File, path: Path) -> Root:
    """Read the root attributes. UsageError if the file is of another format or version, StorageError if damaged."""
    try:
        values = attributes.read_attrs(file["/"])
    except H5_ERRORS as error:
        raise output.unreadable(path, "the root attributes", error) from error
    if values.get("format") != FORMAT:
        came = f"its format is {values['format']!r}" if "format" in values else "it has no attribute 'format'"
        other = str(values.get("format", "")).startswith("vidfeat-")
        advice = (
            "Give the file of 'vidfeat extract' or 'vidfeat flow' that it was made from."
            if other
            else "Use 'vidfeat import' for features of other tools."
        )
        raise UsageError(f"{path} is not a vidfeat feature file: {came}, expected {FORMAT!r}. {advice}")
    if values.get("version") != VERSION:
        raise UsageError(
            f"{path} has format version {values.get('version')!r}; this vidfeat reads version {VERSION}. "
            f"Use the vidfeat that wrote it, or extract again."
        )
    try:
        shard = (values["shard_index"], values["shard_count"]) if "shard_index" in values else None
        merged = frozenset(name.decode() for name in values["merged"].tolist()) if "merged" in values else frozenset()
        return Root(
            json.loads(values["config"]),
            values["fingerprint"],
            json.loads(values["run"]),
            values["part"],
            merged,
            shard,
        )
    except (KeyError, ValueError, AttributeError) as error:
        raise output.unreadable(path, "the root attributes", error) from error


def open_features_file(path: Path) -> tuple[h5py.File, Root]:
    """Open one feature file. UsageError: missing, not HDF5, another format; StorageError: damaged."""
    name = path.name if path.suffix.lower() in (".h5", ".hdf5") else "feats.h5"
    advice = f"Make one with 'vidfeat extract ... -o {name}', or 'vidfeat flow ... -o {name}' for flow."
    file = output.open_hdf5(path, advice)
    try:
        return file, read_root(file, path)
    except BaseException:
        file.close()
        raise


class Found(NamedTuple):
    """One entry below /items: a finished item, or a thing that should not be there (``stray`` says what)."""

    id: str
    link: tuple[str, str] | None = None
    stray: str = ""


def walk(file: h5py.File) -> Iterator[Found]:
    """Everything below /items, folders opened up, in no particular order.

    An external link stands for an item (links are only made to finished ones) and is not followed here.
    """
    yield from _walk(file[ITEMS].id, "")


def _walk(group: h5g.GroupID, prefix: str) -> Iterator[Found]:
    names = list(group)
    for name in names:
        item_id = prefix + name.decode("utf-8", "surrogateescape")
        kind = group.links.get_info(name).type
        if kind == h5l.TYPE_EXTERNAL:
            target, inside = group.links.get_val(name)
            yield Found(item_id, (target.decode("utf-8", "surrogateescape"), inside.decode("utf-8", "surrogateescape")))
            continue
        child = h5o.open(group, name)
        if not isinstance(child, h5g.GroupID):
            # Items are not descended into, so a dataset here is in a group without the mark, or in none.
            yield Found(prefix[:-1] or item_id, stray="not marked done" if prefix else "a dataset outside every item")
            return
        if h5a.exists(child, DONE.encode()):
            yield Found(item_id)
        else:
            yield from _walk(child, item_id + "/")
    if not names and prefix:
        yield Found(prefix[:-1], stray="an empty folder")


def finished_ids(file: h5py.File, path: Path) -> dict[str, tuple[str, str] | None]:
    """Finished items: id -> external link (file, object) or None. StorageError for damaged groups."""
    try:
        return {found.id: found.link for found in walk(file) if not found.stray}
    except H5_ERRORS as error:
        raise output.unreadable(path, "the list of items", error) from error


def item_group(file: h5py.File, item_id: str, path: Path) -> h5py.Group:
    """The group of one item, through a link or not. StorageError if it is damaged or the link leads nowhere."""
    try:
        group = file[f"{ITEMS}/{item_id}"]
        if not isinstance(group, h5py.Group) or not attributes.has_attr(group, DONE):
            raise StorageError(f"Item {item_id!r} of {path} is not finished. Run the extraction again to complete it.")
        return group
    except H5_ERRORS as error:
        link = file.get(f"{ITEMS}/{item_id}", getlink=True) if isinstance(error, OSError | KeyError) else None
        if isinstance(link, h5py.ExternalLink):
            raise StorageError(
                f"Item {item_id!r} of {path} is a link to {link.filename}, which cannot be read there ({error}). "
                f"A file of links and the files that it names must be moved together."
            ) from error
        raise output.unreadable(path, f"item {item_id!r}", error) from error
