"""Maps to codes while they are computed, so that they are never stored: ``vidfeat extract --encode``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.stages.events import Event, Failed, Finished, Rows
from vidfeat.stages.tally import KEPT

if TYPE_CHECKING:
    from vidfeat.encoders.local import LocalEncoder, Sums

STREAM = "code."


def coded_name(feature: str, kind: str) -> str:
    """The dataset of a code: ``code.conv5.vlad`` ``[1, D]``."""
    return f"{STREAM}{feature}.{kind}"


@dataclass
class _Open:
    """One item so far: its first frame and time, and the sums of each code."""

    frame: int
    time: float
    sums: "dict[str, Sums]" = field(default_factory=dict)


class CodedRows:
    """Takes the events of a run, and passes them on with features replaced by one code of the whole item.

    ``encoders``: feature -> dataset of its code -> encoder. Times and frames of all rows are kept.
    """

    def __init__(self, encoders: "Mapping[str, Mapping[str, LocalEncoder]]", emit: Callable[[Event], None]) -> None:
        self._encoders, self._emit = encoders, emit
        self._by_name = {name: encoder for own in encoders.values() for name, encoder in own.items()}
        self._open: dict[str, _Open] = {}
        self._failed: set[str] = set()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Rows):
            if event.item_id not in self._failed:
                self._guarded(event, self._rows)
        elif event.item_id in self._failed:
            self._failed.discard(event.item_id)
        elif isinstance(event, Finished):
            self._guarded(event, self._finished)
        else:
            self._open.pop(event.item_id, None)
            self._emit(event)

    def _guarded(self, event: Rows | Finished, act: Callable) -> None:
        try:
            act(event)
        except UsageError as error:
            self._open.pop(event.item_id, None)
            if isinstance(event, Rows):
                self._failed.add(event.item_id)
            self._emit(Failed(event.item_id, f"it cannot be encoded: {error}"))

    def _rows(self, rows: Rows) -> None:
        item = self._open.setdefault(rows.item_id, _Open(int(rows.frames[0]), float(rows.times[0])))
        kept = {name: values for name, values in rows.features.items() if name not in self._encoders}
        for feature in rows.features.keys() - kept.keys():
            for name, encoder in self._encoders[feature].items():
                encoder.add(item.sums.setdefault(name, encoder.start()), rows.features[feature])
        self._emit(replace(rows, features=kept))

    def _finished(self, event: Finished) -> None:
        item = self._open.pop(event.item_id, None)
        if event.state in KEPT and item is not None:
            codes = {name: self._by_name[name].finish(sums)[None] for name, sums in item.sums.items()}
            self._emit(Rows(event.item_id, np.array([item.frame]), np.array([item.time]), codes, STREAM))
        self._emit(event)
