"""One device's share of an extraction: decoding threads feed batches that cross video boundaries.

    decoder threads ──► bounded queue of decoded frames ──► batches ──► network ──► events

Least work per frame: one decode, one colour conversion, one resize, one copy into the batch, one forward pass. Decoders
run ahead by a bounded number of frames, so that memory does not depend on the length of a video. On a GPU the next
batch is assembled and copied while the last one is computed. On a CPU every core computes a batch of its own: threads
that share one batch wait for each other at the end of every layer, and decoders make some of them late each time.
"""

import queue
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from vidfeat.datasets.items import Item
from vidfeat.errors import ItemError
from vidfeat.features import Extractor
from vidfeat.media.transforms import stack_frames
from vidfeat.stages.decoding import CHUNK_FRAMES, DecodeOptions, Decoders
from vidfeat.stages.events import Event, Failed, Finished, Rows
from vidfeat.stages.lanes import one_torch_thread


class Pending(Protocol):
    """A batch under way."""

    def result(self) -> dict[str, np.ndarray]:
        """Layer name -> rows; waits for them."""


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


@contextmanager
def lanes(extractor: Extractor, threads: int) -> Iterator[tuple[Callable[[list[torch.Tensor]], Pending], int]]:
    """How to start a batch, and how many to keep under way: two on a GPU, one per thread and one waiting on a CPU."""
    if extractor.device.type == "cuda":
        yield lambda pixels: extractor.submit(stack_frames(pixels)), 2
        return
    with one_torch_thread(), ThreadPoolExecutor(threads, thread_name_prefix="network") as pool:
        yield lambda pixels: pool.submit(lambda: extractor.submit(stack_frames(pixels)).result()), threads + 1


class Batcher:
    """Gathers frames into batches, keeps ``depth`` of them under way, and emits events in the order of arrival."""

    def __init__(
        self,
        start: Callable[[list[torch.Tensor]], Pending],
        depth: int,
        emit: Callable[[Event], None],
        *,
        batch_size: int,
        crops: int,
    ) -> None:
        self._start, self._depth, self._emit = start, depth, emit
        self._frames, self._crops = max(1, batch_size // crops), crops
        self._batch = _Batch()
        self._under_way: deque[tuple[Any, _Batch]] = deque()

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
        while self._under_way:
            self._collect()

    def _submit(self) -> None:
        batch, self._batch = self._batch, _Batch()
        self._under_way.append((self._begin(batch.pixels), batch))
        batch.pixels = []  # held by the batch under way alone
        while len(self._under_way) >= self._depth:
            self._collect()

    def _begin(self, pixels: list[torch.Tensor]) -> Pending | ItemError | None:
        if not pixels:
            return None
        try:
            return self._start(pixels)
        except ItemError as error:
            return error

    def _collect(self) -> None:
        pending, batch = self._under_way.popleft()
        try:
            if isinstance(pending, ItemError):
                raise pending
            self._emit_rows(pending.result() if pending is not None else {}, batch)
        except ItemError as error:  # the network cannot take frames of this size, which all of the batch share
            for item_id in dict.fromkeys(run[0] for run in batch.runs):
                self._emit(Failed(item_id, str(error)))
        for ending in batch.endings:
            self._emit(ending)

    def _emit_rows(self, outputs: dict[str, np.ndarray], batch: _Batch) -> None:
        if self._crops > 1:
            outputs = {name: rows.reshape(-1, self._crops, *rows.shape[1:]) for name, rows in outputs.items()}
        first = 0
        for item_id, frames, times in batch.runs:
            last = first + len(frames)
            rows = {name: values[first:last] for name, values in outputs.items()}
            self._emit(Rows(item_id, np.asarray(frames, np.int64), np.asarray(times, np.float64), rows))
            first = last


def run_device(
    extractor: Extractor,
    next_item: Callable[[], Item | None],
    options: DecodeOptions,
    emit: Callable[[Event], None],
    *,
    batch_size: int,
    workers: int,
    threads: int,
    idle: Callable[[], None] = lambda: None,
) -> None:
    """Extract the items that ``next_item`` hands out, and ``emit`` their rows and endings, in order per item.

    ``workers`` threads decode; on a CPU ``threads`` compute. ``idle`` is called at least five times a second while
    frames are awaited, and after every batch; it may raise to stop the run.
    """
    crops = 10 if options.geometry.ten_crop else 1
    ahead = 2 * batch_size // crops + workers * CHUNK_FRAMES
    with Decoders(next_item, options, workers, ahead) as decoders, lanes(extractor, threads) as (start, depth):
        batcher = Batcher(start, depth, emit, batch_size=batch_size, crops=crops)
        while True:
            idle()
            try:
                entry = decoders.get(timeout=0.2)
            except queue.Empty:
                continue
            if entry is None:
                break
            if isinstance(entry, Finished | Failed):
                batcher.end(entry)
                continue
            for frame, time, pixels in zip(entry.frames, entry.times, entry.pixels, strict=True):
                batcher.add(entry.item_id, frame, time, pixels)
        batcher.flush()
