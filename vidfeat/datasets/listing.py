"""Inputs of a command — files, directories, manifests — as one checked, sorted list of items."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vidfeat.datasets.items import Item
from vidfeat.datasets.manifest import default_group, read_manifest
from vidfeat.errors import UsageError
from vidfeat.ids import check_id, check_ids
from vidfeat.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES

_KNOWN = VIDEO_SUFFIXES | IMAGE_SUFFIXES


@dataclass(frozen=True)
class Listing:
    """``items`` sorted by id; what was passed over, and what is not there.

    ``ignored`` counts files in directories by their lower-case suffix ("" for none) that are neither videos nor images;
    ``hidden`` counts names beginning with a dot. ``missing`` has the ids, sorted, of items whose source file does not
    exist: they stay listed, so that they end up among the failures instead of vanishing.
    """

    items: list[Item]
    ignored: Mapping[str, int]
    hidden: int
    missing: list[str]


@dataclass
class _Passed:
    """Names that a walk went past."""

    ignored: Counter[str] = field(default_factory=Counter)
    hidden: int = 0


def list_items(inputs: Sequence[Path]) -> Listing:
    """List the items of ``inputs``: any mix of files, directories and manifests (suffix ``.csv``).

    A directory stands for all videos and images below it, found by suffix in any case; hidden files and folders are
    passed over, links are followed, a link back to an enclosing folder is not. A file given by name is always an item,
    whatever its suffix. The id is the path relative to the directory, or to the common parent of several files and
    directories; a single file's name. The label is the folder that holds the file, unless the id has no folder. The
    group is the id, that is, the source file. Manifests say all this themselves.

    Raises UsageError before any file is opened: an input that does not exist, a directory without any video or image,
    an id that breaks a rule of ``vidfeat.ids``.
    """
    inputs = [Path(path) for path in inputs]
    if not inputs:
        raise UsageError("No input: give videos, images, directories, or a .csv manifest.")
    for path in inputs:
        if not os.path.exists(path):
            raise UsageError(f"Input {os.fspath(path)!r} does not exist.")
    manifests = [path for path in inputs if path.suffix.lower() == ".csv" and not path.is_dir()]
    sources = [path for path in inputs if path not in manifests]
    base = _common_parent(sources) if sources else None
    passed = _Passed()
    items = []
    for path in sources:
        if path.is_dir():
            here = _Passed()
            found = [_item(file, base) for file in _walk(path, here)]
            if not found:
                raise UsageError(_nothing_found(path, here))
            items.extend(found)
            passed.ignored.update(here.ignored)
            passed.hidden += here.hidden
        else:
            items.append(_item(path, base))
    # Groups of several inputs are compared with one another, so they need one root.
    group_root = _common_parent([*sources, *manifests]) if len(inputs) > 1 else None
    if group_root is not None:
        items = [replace(item, group=default_group(item.path, group_root)) for item in items]
    for path in manifests:
        items.extend(read_manifest(path, group_root=group_root))
    check_ids(item.id for item in items)
    items.sort(key=lambda item: item.id)
    exists = {path: os.path.exists(path) for path in {item.path for item in items}}
    return Listing(items, dict(passed.ignored), passed.hidden, [item.id for item in items if not exists[item.path]])


def _common_parent(inputs: Sequence[Path]) -> Path:
    """The folder that ids are relative to: a directory itself, a file's folder, or what several have in common."""
    return Path(os.path.commonpath([os.path.abspath(path if path.is_dir() else path.parent) for path in inputs]))


def _item(path: Path, base: Path) -> Item:
    item_id = check_id(Path(os.path.abspath(path)).relative_to(base).as_posix())
    folders = item_id.split("/")[:-1]
    label = folders[-1].strip() if folders else ""
    try:
        return Item(id=item_id, path=path, labels=(label,) if label else (), group=item_id)
    except UsageError as error:
        raise UsageError(
            f"The folder of {os.fspath(path)!r} cannot be its label: {error} Rename it, or use a manifest."
        ) from None


def _walk(folder: Path, passed: _Passed, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Known files below ``folder`` in name order; the rest is counted in ``passed``."""
    try:
        status = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"Cannot list directory {os.fspath(folder)!r}: {error.strerror}.") from None
    here = above | {(status.st_dev, status.st_ino)}
    for entry in entries:
        if entry.name.startswith("."):
            passed.hidden += 1
        elif os.path.isdir(entry):
            target = entry.stat()
            if (target.st_dev, target.st_ino) not in here:
                yield from _walk(folder / entry.name, passed, here)
        elif Path(entry.name).suffix.lower() in _KNOWN and (os.path.isfile(entry) or entry.is_symlink()):
            # A broken link is listed: it is a source that is missing, not a file of another kind.
            yield folder / entry.name
        else:
            passed.ignored[Path(entry.name).suffix.lower()] += 1


def _nothing_found(folder: Path, passed: _Passed) -> str:
    counts = [f"{count} {suffix or 'without suffix'}" for suffix, count in sorted(passed.ignored.items())]
    counts += [f"{passed.hidden} hidden"] if passed.hidden else []
    found = f"only other files ({', '.join(counts)})" if counts else "no file at all"
    way_out = " Give a manifest by its own name." if ".csv" in passed.ignored else ""
    return (
        f"Directory {os.fspath(folder)!r} has no video or image below it, {found}; known suffixes are "
        f"{' '.join(sorted(_KNOWN))}.{way_out}"
    )
