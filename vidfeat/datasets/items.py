"""One item: a video, a segment of one, or an image."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vidfeat.errors import UsageError

LABEL_SEPARATOR = "|"
SPLIT_VALUES = ("train", "val", "test")


@dataclass(frozen=True)
class Item:
    """What one HDF5 group of features is computed from.

    ``start`` and ``end`` (seconds from the first frame's time, half-open ``[start, end)``) cut a segment out of the
    file; None means from its beginning, or to its end. ``labels`` is empty for an unlabelled item and has several
    entries for a multi-label one. Items of one ``group`` (by default: of one source file) must not be separated by a
    split. ``splits`` maps a split's name (``split``, ``split1``, …) to train, val or test; an item that a split leaves
    out is not in the mapping. ``path`` is None only in a manifest read for its labels alone.

    Raises UsageError for a range that is not finite, negative or empty, for a label that is empty, has the separator
    ``|`` in it or spaces around it, and for another split value.
    """

    id: str
    path: Path | None
    start: float | None = None
    end: float | None = None
    labels: tuple[str, ...] = ()
    group: str = ""
    splits: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name, seconds in (("start", self.start), ("end", self.end)):
            if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
                raise UsageError(f"{name} is {seconds}; it must be a finite number of seconds, 0 or more.")
        if self.end is not None and self.end <= (self.start or 0.0):
            raise UsageError(
                f"start is {self.start or 0.0} and end is {self.end}; [start, end) must not be empty: start < end."
            )
        for label in self.labels:
            if not label or LABEL_SEPARATOR in label or label != label.strip():
                raise UsageError(
                    f"label {label!r} is not allowed: a label is not empty, has no {LABEL_SEPARATOR!r} (it joins "
                    "several labels) and no spaces around it."
                )
        if len(set(self.labels)) < len(self.labels):
            raise UsageError(f"the labels {LABEL_SEPARATOR.join(self.labels)!r} name one label twice.")
        for name, value in self.splits.items():
            if value not in SPLIT_VALUES:
                raise UsageError(f"{name} is {value!r}; allowed are {', '.join(SPLIT_VALUES)}, or an empty field.")
