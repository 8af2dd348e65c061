"""Miniatures of data sets: a few files with the names and oddities of the real ones."""

from pathlib import Path

from vidfeat.datasets.importing import Imported, import_set
from vidfeat.datasets.items import Item
from vidfeat.datasets.official import Place


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write every file below ``folder`` as it is: no line end is changed."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def touch(folder: Path, *names: str) -> Path:
    """Empty files: importers never open a video."""
    return write(folder, dict.fromkeys(names, ""))


def imported(name: str, root: Path, splits: Path | None = None, **more) -> Imported:
    return import_set(name, Place(root, splits, **more))


def by_id(found: Imported) -> dict[str, Item]:
    return {item.id: item for item in found.items}


def left_out(found: Imported) -> dict[str, str]:
    """Reason by id."""
    return {entry.id: entry.reason for entry in found.left_out}
