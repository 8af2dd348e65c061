"""Where outputs may go, and folders of several files that are there as a whole or not at all."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.store import fs


def check_place(output: Path) -> None:
    """UsageError, before any work, unless a file or folder of this name can be made."""
    if not output.parent.is_dir():
        raise UsageError(f"The folder {output.parent} of the output {output.name} does not exist. Create it first.")
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise UsageError(f"The folder {output.parent} of the output {output.name} may not be written to.")


def check_table(output: Path) -> None:
    """UsageError, before any work, unless a CSV of this name can be written."""
    check_place(output)
    if output.is_dir():
        raise UsageError(f"The output {output} is a folder; give the name of a file, such as predictions.csv.")


class NewFolder:
    """A folder of many files that is there as a whole or not at all: filled under a private name, then renamed.

    An older one in its place is replaced only if all it holds has names that ``own`` matches; UsageError otherwise.
    """

    def __init__(self, place: Path, own: re.Pattern) -> None:
        self.place = place
        check_replaceable(place, own)
        with fs.writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            # Everything that is removed in the end lies in this folder, which nobody else has made or knows.
            self._private = Path(tempfile.mkdtemp(prefix=f".{place.name[:100]}.", dir=place.parent))
            self._new, self._old = self._private / "new", self._private / "old"
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
        """Give the folder its name. StorageError if the disk fails; the older one then stays in its place."""
        with fs.writing(self.place):
            try:
                if self.place.exists():
                    fs.rename(self.place, self._old)
                fs.rename(self._new, self.place)
                fs.fsync_dir(self.place.parent)
            finally:
                if self._old.exists() and not self.place.exists():
                    fs.rename(self._old, self.place)
        self.abandon()

    def abandon(self) -> None:
        """Remove what was written; nothing after ``publish``."""
        shutil.rmtree(self._private, ignore_errors=True)


@contextlib.contextmanager
def new_folder(place: Path, own: re.Pattern) -> Iterator[Path]:
    """A :class:`NewFolder` to fill inside a ``with``, published at its end unless something went wrong."""
    folder = NewFolder(place, own)
    try:
        yield folder.folder
        folder.publish()
    finally:
        folder.abandon()


def foreign_names(folder: Path, own: re.Pattern) -> list[str]:
    """What is in a folder and has none of the names that ``own`` matches."""
    return sorted(entry.name for entry in folder.iterdir() if not own.fullmatch(entry.name))


def check_replaceable(place: Path, own: re.Pattern) -> None:
    """UsageError if something else than a folder of files with names of one's own would be replaced."""
    if not place.exists():
        return
    others = foreign_names(place, own) if place.is_dir() else []
    if not place.is_dir() or others:
        holds = f"holds {others[0]!r}, which vidfeat does not write" if others else "is a file"
        raise UsageError(f"{place} is there and {holds}. Choose another output, or remove it yourself.")
