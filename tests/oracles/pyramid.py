"""The temporal pyramid from its definition."""

from math import floor


def nodes(T, levels):
    """Lists of frame numbers."""
    return [
        list(range(floor(k * T / n), max(floor((k + 1) * T / n), floor(k * T / n) + 1)))
        for n in (2**level for level in range(levels))
        for k in range(n)
    ]
