"""Compare two feature files."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vidfeat.store.reader import FeatureFile, StoredItem, open_features
from vidfeat.store.settings import differences

# DESIGN's meaning of "equal" runs: batches cross videos, and the batch size changes the last bits.
SAME = 1e-5

_READ_BYTES = 8 << 20


class FeatureDifference(NamedTuple):
    """Largest relative difference of a feature over all common items, and the item that has it."""

    relative: float
    id: str


class Difference(NamedTuple):
    """What two feature files differ in; ``a`` is the first. Empty collections mean no difference.

    ``mismatches``: item -> words for times, frames, labels, groups, splits or array names and shapes that differ.
    """

    settings: dict[str, tuple[Any, Any]]
    only_a: list[str]
    only_b: list[str]
    features: dict[str, FeatureDifference]
    mismatches: dict[str, list[str]]

    def equal(self, tolerance: float = SAME) -> bool:
        """Same ids, times, frames and labels, and all features within ``tolerance`` of their spread. Settings and what
        is recorded about the computation (device, versions) do not count."""
        within = all(feature.relative <= tolerance for feature in self.features.values())
        return within and not (self.only_a or self.only_b or self.mismatches)


def diff(a: Path | str, b: Path | str) -> Difference:
    """Compare the files ``a`` and ``b``.

    The relative difference of feature f in ``a`` against g in ``b`` in one item is the root mean square over its rows
    of ||f_t - g_t||, divided by the root mean square of ||g_t - mean g|| over all rows in ``b``: its spread. Where
    that is zero (a single frame), the root mean square of ||g_t|| stands in. Memory does not grow with the length.
    """
    with open_features(a) as first, open_features(b) as second:
        ids_a, ids_b = first.ids, second.ids
        in_a, in_b = set(ids_a), set(ids_b)
        common = [item_id for item_id in ids_a if item_id in in_b]
        mismatches: dict[str, list[str]] = {}
        errors: dict[str, dict[str, float]] = {}
        for item_id in common:
            words, distances = _compare_item(first[item_id], second[item_id])
            if words:
                mismatches[item_id] = words
            for name, distance in distances.items():
                errors.setdefault(name, {})[item_id] = distance
        features = {}
        for name, distances in sorted(errors.items()):
            worst = max(distances, key=lambda i: distances[i])
            scale = 1.0 if distances[worst] == 0 else _spread(second, name)
            features[name] = FeatureDifference(distances[worst] / scale if scale else math.inf, worst)
        return Difference(
            differences(first.settings, second.settings),
            [i for i in ids_a if i not in in_b],
            [i for i in ids_b if i not in in_a],
            features,
            mismatches,
        )


def _compare_item(a: StoredItem, b: StoredItem) -> tuple[list[str], dict[str, float]]:
    words, distances = [], {}
    for what in ("labels", "group", "splits"):
        left, right = getattr(a, what), getattr(b, what)
        if left != right:
            words.append(f"{what}: {left!r} and {right!r}")
    for name in sorted({*a.columns, *b.columns}):
        if name not in a or name not in b:
            words.append(f"{name} is only in the {'first' if name in a else 'second'} file")
        elif a.shape(name) != b.shape(name):
            words.append(f"{name} has shapes {a.shape(name)} and {b.shape(name)}")
        elif name not in a.names:
            if not np.array_equal(a[name], b[name]):
                words.append(f"{name} differs")
        else:
            total = sum(float(np.square(f - g).sum()) for f, g in zip(_blocks(a, name), _blocks(b, name), strict=True))
            distances[name] = math.sqrt(total / max(1, a.shape(name)[0]))
    return words, distances


def _blocks(item: StoredItem, name: str) -> Iterator[np.ndarray]:
    """Rows in float64, [n, D], a bounded number at a time."""
    shape = item.shape(name)
    width = math.prod(shape[1:])
    step = max(1, _READ_BYTES // (8 * max(1, width)))
    for start in range(0, shape[0], step):
        yield item.rows(name, start, start + step).reshape(-1, width).astype(np.float64)


def _spread(file: FeatureFile, name: str) -> float:
    """Root mean square deviation from the mean row over all items whose rows have the shape of the first one's."""
    shift = total = None
    squares = plain = 0.0
    count = 0
    for item_id in file:
        item = file[item_id]
        if name not in item:
            continue
        for rows in _blocks(item, name):
            if shift is None:
                # Deviations from any one row: keeps the difference of two large sums accurate.
                shift, total = rows[0].copy(), np.zeros(rows.shape[1])
            if rows.shape[1] != len(shift):
                continue
            plain += float(np.square(rows).sum())
            rows -= shift
            total += rows.sum(axis=0)
            squares += float(np.square(rows).sum())
            count += len(rows)
    if not count:
        return 0.0
    variance = squares / count - float(np.square(total / count).sum())
    # Below the rounding of these sums the rows are all the same.
    return math.sqrt(variance if variance > 1e-12 * squares / count else plain / count)
