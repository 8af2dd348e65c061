"""Where a command that makes one PNG of many items puts it."""

from collections.abc import Sequence
from pathlib import Path

from vidfeat.datasets.items import Item
from vidfeat.errors import StorageError, UsageError
from vidfeat.stages.places import check_free, places_of

_PNG = b"\x89PNG\r\n\x1a\n"


def check_picture_place(inputs: Sequence[Path], output: Path, items: Sequence[Item], overwrite: bool) -> None:
    """UsageError, before any work, unless a PNG of all ``items`` can be written there without harm to anything.

    ``overwrite``: whether an older PNG may be replaced.
    """
    places_of(inputs, output, items[:1], ".png", "picture")
    if output.resolve() in {item.path.resolve() for item in items}:
        raise UsageError(f"The picture {output} would replace its own source. Choose another output.")
    if not output.exists():
        return
    try:
        with output.open("rb") as file:
            is_png = file.read(len(_PNG)) == _PNG
    except OSError as error:
        raise StorageError(f"Cannot read what is at the output {output}: {error.strerror}.") from error
    if not is_png:
        raise UsageError(f"{output} is there and is no PNG picture. Choose another output, or remove it yourself.")
    check_free(output, overwrite)
