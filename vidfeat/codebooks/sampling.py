"""Which local features of which items a codebook learns from: the same ones whatever order the items are read in."""

import hashlib
from collections.abc import Sequence

import numpy as np

from vidfeat.errors import UsageError


def shares(counts: Sequence[int], total: int) -> list[int]:
    """How many of its rows each item gives to a sample of ``total`` rows: wanted_i ≈ total · counts_i / Σ counts.

    Args:
        counts: rows of each item, ≥ 0.
        total: rows wanted from all of them together, ≥ 1.

    Returns:
        As many integers as there are items, wanted_i ≤ counts_i, with Σ wanted = min(total, Σ counts). What rounding
        down leaves goes to the largest remainders, and among equal ones to the earlier items.

    Raises:
        UsageError: a negative count, or total < 1.
    """
    counts = [int(count) for count in counts]
    if total < 1:
        raise UsageError(f"A sample of {total} rows is not allowed; ask for at least 1.")
    if negative := [count for count in counts if count < 0]:
        raise UsageError(f"An item has {negative[0]} rows; counts must be ≥ 0.")
    rows = sum(counts)
    if total >= rows:
        return counts
    # Whole numbers throughout: the shares must not depend on how a quotient is rounded. As total ≤ rows, a share
    # rounded up is still at most the item's count.
    wanted = [total * count // rows for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda item: (-(total * counts[item] % rows), item))
    for item in by_remainder[: total - sum(wanted)]:
        wanted[item] += 1
    return wanted


def choose_rows(item_id: str, count: int, wanted: int, seed: int) -> np.ndarray:
    """Indices of ``wanted`` of the ``count`` rows of an item, drawn without replacement and with equal chances.

    The draw depends on nothing but the arguments, so items can be read in any order and by any number of processes.
    Rows drawn for a smaller ``wanted`` are among those drawn for a larger one.

    Args:
        item_id: the id of the item.
        count: rows that it has, ≥ 0.
        wanted: rows to draw, 0 ≤ wanted ≤ count.
        seed: any integer.

    Returns:
        int64 ``[wanted]``, increasing.

    Raises:
        UsageError: wanted < 0 or wanted > count.
    """
    if not 0 <= wanted <= count:
        raise UsageError(f"{wanted} rows of item {item_id!r} were asked for, which has {count}; ask for 0 to {count}.")
    if wanted == count:
        return np.arange(count, dtype=np.int64)
    digest = hashlib.sha256(f"{int(seed)}\0{item_id}".encode()).digest()
    # NumPy promises that the raw numbers of PCG64 stay the same in later versions, but not what choice() makes of them.
    keys = np.random.PCG64(int.from_bytes(digest, "little")).random_raw(count)
    return np.sort(np.argsort(keys, kind="stable")[:wanted]).astype(np.int64)
