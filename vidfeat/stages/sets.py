"""The sets of codes in one file: their names, their order, and which of them a command is to use.

``vidfeat encode --method rankpool --C 0.1,1,10`` writes one set per value, named ``C=0.1``, ``C=1``, ``C=10``.
"""

import math
from collections.abc import Iterable
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.store import open_codes

AUTO = "auto"


def rank_pooling_C(set_name: str) -> float | None:  # noqa: N802 - C is what everybody calls it
    """The value that a set named ``C=0.1`` was encoded with; None for any other name."""
    if not set_name.startswith("C="):
        return None
    try:
        value = float(set_name.removeprefix("C="))
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def natural_order(names: Iterable[str]) -> list[str]:
    """Sets with a value of C by that value, before all others by name."""

    def key(name: str) -> tuple[float, str]:
        value = rank_pooling_C(name)
        return (math.inf if value is None else value, name)

    return sorted(names, key=key)


def sets_to_try(path: Path, wanted: str) -> list[str]:
    """The set that ``--set`` names, or with ``auto`` all sets of the file in natural order.

    UsageError, with the sets that there are, if the file has no such set, or none at all.
    """
    with open_codes(path) as stored:
        names = natural_order(stored.sets)
    if not names:
        raise UsageError(f"{path} has no codes. Encode at least one item with 'vidfeat encode'.")
    if wanted == AUTO:
        return names
    if wanted not in names:
        raise UsageError(f"{path} has no set {wanted!r}; it has {', '.join(names)}. Choose one with --set.")
    return [wanted]
