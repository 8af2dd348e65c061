"""Write the small files of a RUN folder so that each is there as a whole or not at all."""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vidfeat.store import fs


def write_bytes(path: Path | str, data: bytes) -> None:
    """Replace ``path`` by a file with these bytes: written under a temporary name, synced, renamed.

    StorageError if that fails; what was at ``path`` is then still there.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with fs.writing(path):
        try:
            fd = fs.open_new(temporary)
        except FileExistsError:
            # Left by a crashed process that had our pid.
            fs.unlink(temporary)
            fd = fs.open_new(temporary)
        try:
            try:
                fs.pwrite(fd, data, 0)
                fs.fsync(fd)
            finally:
                fs.close(fd)
            fs.rename(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fs.fsync_dir(path.parent)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` as UTF-8, as :func:`write_bytes` does."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as indented JSON. ValueError for NaN or infinity, which JSON does not have."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path | str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table; floats in the shortest form that reads back equal. ValueError if a row has another width."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a row of {path} has {len(row)} cells, the header has {len(header)}")
        writer.writerow(row)
    write_text(path, text.getvalue())
