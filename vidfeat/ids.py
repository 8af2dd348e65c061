"""Rules for item ids.

An id names an HDF5 group (slashes nest groups) and a row of every later file, so all rules are checked
before any work starts.
"""

from collections.abc import Iterable

from vidfeat.errors import UsageError

_WAY_OUT = "Name the item yourself in a manifest (CSV with header id,path)."


def check_id(item_id: str) -> str:
    """Return ``item_id`` unchanged, or raise UsageError saying which rule it breaks."""
    if not item_id:
        raise UsageError(f"An item has an empty id. {_WAY_OUT}")
    if "\0" in item_id:
        raise UsageError(f"Item id {item_id!r} contains a NUL character, which HDF5 names cannot hold. {_WAY_OUT}")
    try:
        item_id.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(
            f"Item id {item_id!r} is not valid UTF-8, so it cannot name an HDF5 group. {_WAY_OUT}"
        ) from None
    if item_id.startswith("/") or item_id.endswith("/"):
        raise UsageError(f"Item id {item_id!r} has a leading or trailing slash. {_WAY_OUT}")
    for component in item_id.split("/"):
        if component in ("", ".", ".."):
            raise UsageError(
                f"Item id {item_id!r} has the component {component!r}; allowed are non-empty names other than '.' "
                f"and '..'. {_WAY_OUT}"
            )
    return item_id


def check_ids(ids: Iterable[str]) -> list[str]:
    """Check every id and their relations; return them sorted.

    Refused are duplicates, and an id that is a path prefix of another (``a`` beside ``a/b``), because one HDF5 group
    cannot be an item and a folder of items at once.
    """
    ordered = sorted(check_id(item_id) for item_id in ids)
    seen = set()
    for item_id in ordered:
        if item_id in seen:
            raise UsageError(f"Item id {item_id!r} occurs twice. Ids must be unique: {_WAY_OUT}")
        seen.add(item_id)
    for item_id in ordered:
        for cut in (i for i, char in enumerate(item_id) if char == "/"):
            if item_id[:cut] in seen:
                raise UsageError(
                    f"Item id {item_id[:cut]!r} is a path prefix of item id {item_id!r}: one name cannot be both "
                    f"an item and a folder of items. {_WAY_OUT}"
                )
    return ordered
