"""Where the pictures and films of items go."""

from collections.abc import Sequence
from pathlib import Path

from vidfeat.datasets.items import Item
from vidfeat.errors import UsageError
from vidfeat.stages.new_folder import NewFolder, check_place, check_replaceable
from vidfeat.store.exporting import safe_name

__all__ = ["NewFolder", "check_free", "check_replaceable", "place_below", "places_of"]


def places_of(inputs: Sequence[Path], output: Path, items: Sequence[Item], suffix: str, what: str) -> dict[str, Path]:
    """Item id -> the file to write; UsageError unless all of them can be written without harm to the sources.

    ``output`` with the ``suffix`` is the one file of the one item, else a folder, with ``ID`` and the suffix for each.
    An empty suffix means a folder for each item. ``what``: a picture, say, in words.
    """
    check_place(output)
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


def check_free(place: Path, overwrite: bool) -> None:
    """UsageError if something is there that was not asked to be replaced."""
    if place.exists() and not overwrite:
        raise UsageError(f"{place} exists already. Choose another output, or --overwrite to replace it.")
