"""Where the pictures and films of items go."""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vidfeat.datasets.items import Item
from vidfeat.errors import UsageError
from vidfeat.stages import runs
from vidfeat.store import fs
from vidfeat.store.exporting import safe_name


def places_of(inputs: Sequence[Path], output: Path, items: Sequence[Item], suffix: str, what: str) -> dict[str, Path]:
    """Item id -> the file to write; UsageError unless all of them can be written without harm to the sources.

    ``output`` with the ``suffix`` is the one file of the one item, else a folder, with ``ID`` and the suffix for each.
    An empty suffix means a folder for each item. ``what``: a picture, say, in words.
    """
    runs.check_place(output)
    if suffix and output.suffix.lower() == suffix:
        if len(items) != 1:
            raise UsageError(
                f"--output {output} is one {what}, but there are {len(items)} items. Name a folder; it gets a {what} "
                "of each."
            )
        if output.is_dir():
            raise UsageError(f"The output {output} is a folder; give the name of a {what}, such as motion{suffix}.")
        places = {items[0].id: output}
    else:
        if output.exists() and not output.is_dir():
            one = f"End it in {suffix} for one {what}, or name" if suffix else "Name"
            raise UsageError(f"The output {output} is a file. {one} a folder.")
        places = {item.id: place_below(output, item.id, suffix) for item in items}
    for folder in inputs:
        if folder.is_dir() and output.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"The output {output} lies in the input folder {folder}, so the next run would take its {what}s for "
                "input. Choose a place outside of it."
            )
    taken = {item.path.resolve() for item in items} & {place.resolve() for place in places.values()}
    if taken:
        raise UsageError(f"The {what} {min(taken)} would replace its own source. Choose another output.")
    return places


def place_below(folder: Path, item_id: str, suffix: str = "") -> Path:
    """``FOLDER/ID`` and the suffix, with what is not safe in file names written as %XX."""
    *folders, last = (safe_name(component) for component in item_id.split("/"))
    return folder.joinpath(*folders, last + suffix)


class NewFolder:
    """A folder of many files that is there as a whole or not at all: filled under a private name, then renamed.

    An older one in its place is replaced only if all it holds has names that ``own`` matches; UsageError otherwise.
    """

    def __init__(self, place: Path, own: re.Pattern) -> None:
        self.place = place
        check_replaceable(place, own)
        with fs.writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            self._private = Path(tempfile.mkdtemp(prefix=f".{place.name[:100]}.", dir=place.parent))
            self._new = self._private / "new"
            self._new.mkdir()

    @property
    def folder(self) -> Path:
        """Where files are until ``publish``, for what writes to a path."""
        return self._new

    def write(self, name: str, data: bytes) -> None:
        """One file. StorageError if the disk fails."""
        with fs.writing(self.place):
            (self._new / name).write_bytes(data)

    def publish(self) -> None:
        """Give the folder its name."""
        with fs.writing(self.place):
            if self.place.exists():
                os.rename(self.place, self._private / "old")
            os.rename(self._new, self.place)
            fs.fsync_dir(self.place.parent)
        self.abandon()

    def abandon(self) -> None:
        """Remove what was written; nothing after ``publish``."""
        shutil.rmtree(self._private, ignore_errors=True)


def check_free(place: Path, overwrite: bool) -> None:
    """UsageError if something is there that was not asked to be replaced."""
    if place.exists() and not overwrite:
        raise UsageError(f"{place} exists already. Choose another output, or --overwrite to replace it.")


def check_replaceable(place: Path, own: re.Pattern) -> None:
    """UsageError if something else than a folder of files with names of one's own would be replaced."""
    if not place.exists():
        return
    others = [] if not place.is_dir() else [entry.name for entry in place.iterdir() if not own.fullmatch(entry.name)]
    if not place.is_dir() or others:
        holds = f"holds {min(others)!r}, which vidfeat does not write" if others else "is a file"
        raise UsageError(f"{place} is there and {holds}. Choose another output, or remove it yourself.")
