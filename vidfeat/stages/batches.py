"""Frames, or stacks of flow, to features: batches that cross video boundaries."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from vidfeat.errors import ItemError
from vidfeat.stages.events import Event, Failed, Finished, Rows
from vidfeat.stages.under_way import Pending, UnderWay


@dataclass
class _Batch:
    """Frames of one pixel size, from one or several items, and the items that end within it."""

    pixels: list[torch.Tensor] = field(default_factory=list)
    runs: list[tuple[str, list[int], list[float]]] = field(default_factory=list)
    endings: list[Finished | Failed] = field(default_factory=list)

    def add(self, item_id: str, frame: int, time: float, pixels: torch.Tensor) -> None:
        if not self.runs or self.runs[-1][0] != item_id:
            self.runs.append((item_id, [], []))
        self.runs[-1][1].append(frame)
        self.runs[-1][2].append(time)
        self.pixels.append(pixels)


class Batcher:
    """Gathers frames into batches, keeps ``depth`` of them under way, and emits events in the order of arrival.

    ``start`` begins a batch, which gives layer name -> rows. ``stream`` is put before the names of layers.
    """

    def __init__(
        self,
        start: Callable[[list[torch.Tensor]], Pending],
        depth: int,
        emit: Callable[[Event], None],
        *,
        batch_size: int,
        crops: int,
        stream: str = "",
    ) -> None:
        self._start, self._emit, self._stream = start, emit, stream
        self._frames, self._crops = max(1, batch_size // crops), crops
        self._batch = _Batch()
        self._under_way = UnderWay(depth, self._deliver)

    def add(self, item_id: str, frame: int, time: float, pixels: torch.Tensor) -> None:
        """One more frame; frames of another size begin another batch."""
        if self._batch.pixels and self._batch.pixels[0].shape != pixels.shape:
            self._submit()
        self._batch.add(item_id, frame, time, pixels)
        if len(self._batch.pixels) == self._frames:
            self._submit()

    def end(self, ending: Finished | Failed) -> None:
        """The item's last frame was added before; its ending is emitted after the rows."""
        self._batch.endings.append(ending)

    def flush(self) -> None:
        """Emit everything."""
        self._submit()
        self._under_way.flush()

    def _submit(self) -> None:
        batch, self._batch = self._batch, _Batch()
        pending = self._begin(batch.pixels)
        batch.pixels = []  # held by the batch under way alone
        self._under_way.put(pending, batch)

    def _begin(self, pixels: list[torch.Tensor]) -> Pending | ItemError | None:
        if not pixels:
            return None
        try:
            return self._start(pixels)
        except ItemError as error:
            return error

    def _deliver(self, outcome: Any, batch: _Batch) -> None:
        if isinstance(outcome, ItemError):  # the network cannot take frames of this size, which all of the batch share
            for item_id in dict.fromkeys(run[0] for run in batch.runs):
                self._emit(Failed(item_id, str(outcome)))
        elif outcome is not None:
            self._emit_rows(outcome, batch)
        for ending in batch.endings:
            self._emit(ending)

    def _emit_rows(self, outputs: dict[str, np.ndarray], batch: _Batch) -> None:
        if self._crops > 1:
            outputs = {name: rows.reshape(-1, self._crops, *rows.shape[1:]) for name, rows in outputs.items()}
        first = 0
        for item_id, frames, times in batch.runs:
            last = first + len(frames)
            rows = {self._stream + name: values[first:last] for name, values in outputs.items()}
            self._emit(Rows(item_id, np.asarray(frames, np.int64), np.asarray(times, np.float64), rows, self._stream))
            first = last
