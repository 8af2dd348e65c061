"""Several codes files with the same items: their sets, and their codes side by side."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.stages.labelled import LabelledCodes, read_codes
from vidfeat.stages.sets import AUTO, sets_to_try
from vidfeat.store import open_codes

_NAMED = 3


def sets_of_each(paths: Sequence[Path], wanted: str) -> list[str]:
    """One set per file. ``wanted``: auto (every file has only one), a name for all, or one for each, by commas."""
    names = wanted.split(",") if wanted != AUTO and "," in wanted else [wanted] * len(paths)
    if len(names) != len(paths):
        raise UsageError(
            f"--set {wanted} names {len(names)} sets for {len(paths)} CODES. Give one name for all, or one for each."
        )
    found = []
    for path, name in zip(paths, names, strict=True):
        there = sets_to_try(path, name.strip())
        if len(there) > 1:
            raise UsageError(
                f"{path} has the sets {', '.join(there)}. With several CODES none is chosen by cross-validation: give "
                "--set, one name for all or one for each."
            )
        found.append(there[0])
    return found


def beside(data: LabelledCodes, paths: Sequence[Path], sets: Sequence[str], *, exactly: bool) -> LabelledCodes:
    """``data`` of the first file with the codes of the others, the same items in the same order.

    ``exactly``: the others may have no further items either. UsageError naming the first ids that differ.
    """
    first = data.sources[0]["path"]
    for path, name in zip(paths, sets, strict=True):
        with open_codes(path) as stored:
            other = read_codes(stored, name)
        row_of = {item_id: row for row, item_id in enumerate(other.ids)}
        known = set(data.ids)
        missing = [item_id for item_id in data.ids if item_id not in row_of]
        further = [item_id for item_id in other.ids if item_id not in known] if exactly else []
        if missing or further:
            said = [_only(ids, place) for ids, place in ((missing, first), (further, path)) if ids]
            raise UsageError(
                f"The items of {first} and {path} are not the same: {'; '.join(said)}. Encode both from the same items"
                + (", or give --manifest with those that both have." if exactly else ".")
            )
        other = other.take([row_of[item_id] for item_id in data.ids])
        data = replace(data, more=(*data.more, other.codes), sources=(*data.sources, *other.sources))
    return data


def _only(ids: Sequence[str], path: Path | str) -> str:
    named = ", ".join(map(repr, ids[:_NAMED])) + (", …" if len(ids) > _NAMED else "")
    return f"{len(ids)} only in {path} ({named})"
