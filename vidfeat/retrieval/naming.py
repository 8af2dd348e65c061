"""Items by the names that ground-truth files call their pictures, and how those files are read."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from vidfeat.errors import UsageError

SHOWN = 3


def stem_of(item_id: str) -> str:
    """``oxbuild_images/all_souls_000013.jpg`` -> ``all_souls_000013``."""
    return PurePosixPath(item_id).stem


def rows_by_stem(ids: Sequence[str], wanted: set[str] | None = None) -> dict[str, int]:
    """Stem -> row. UsageError if two items have one stem (of the ``wanted``, if given), as a name must mean one."""
    found: dict[str, int] = {}
    for row, item_id in enumerate(ids):
        stem = stem_of(item_id)
        if wanted is not None and stem not in wanted:
            continue
        if stem in found:
            raise UsageError(
                f"The items {ids[found[stem]]!r} and {item_id!r} have the same name {stem!r}, by which the ground "
                "truth knows pictures. Encode each picture once."
            )
        found[stem] = row
    return found


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, without spaces around them. UsageError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(
            f"{path} does not exist, but the ground truth must have it. Unpack its archive again."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read {path}: {error}.") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def some(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(map(repr, names[:SHOWN])) + (", …" if len(names) > SHOWN else "")
