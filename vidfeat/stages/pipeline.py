"""One device's share of an extraction: decoding threads feed batches that cross video boundaries.

    decoder threads ──► bounded queue of decoded frames ──► batches ──► network ──► events

Least work per frame: one decode, one colour conversion, one resize, one copy into the batch, one forward pass. Decoders
run ahead by a bounded number of frames, so that memory does not depend on the length of a video; on a GPU the next
batch is assembled while the last one is computed.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch

from vidfeat.datasets.items import Item
from vidfeat.errors import ItemError
from vidfeat.features import Extractor
from vidfeat.media.sampling import Sampling
from vidfeat.media.stream import ChildStream, DecoderChild, ItemStream
from vidfeat.media.transforms import Geometry, stack_frames
from vidfeat.stages.events import Event, Failed, Finished, Rows

CHUNK_FRAMES = 8  # frames per queue entry: few enough to keep the network fed, enough to make locking cheap


@dataclass(frozen=True)
class DecodeOptions:
    """How every item of a run is read."""

    sampling: Sampling
    geometry: Geometry
    threads: int = 1
    timeout: float | None = None


@dataclass
class _Chunk:
    item_id: str
    frames: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    pixels: list[torch.Tensor] = field(default_factory=list)


class _ConsumerGoneError(Exception):
    """The consumer has gone; a decoder thread gives up quietly."""


class Decoders:
    """Threads that take items from ``next_item`` until it returns None, and queue their frames."""

    def __init__(self, next_item: Callable[[], Item | None], options: DecodeOptions, workers: int, ahead: int) -> None:
        self._next_item = next_item
        self._options = options
        self._queue: queue.Queue[_Chunk | Finished | Failed | BaseException | None] = queue.Queue(
            max(2, ahead // CHUNK_FRAMES)
        )
        self._stop = threading.Event()
        self._running = workers
        self._threads = [threading.Thread(target=self._work, daemon=True, name=f"decoder-{i}") for i in range(workers)]

    def __enter__(self) -> "Decoders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def get(self, timeout: float) -> _Chunk | Finished | Failed | None:
        """The next entry, or None when every decoder has finished. Raises queue.Empty after ``timeout``."""
        while True:
            if self._running == 0:
                return None
            entry = self._queue.get(timeout=timeout)
            if isinstance(entry, BaseException):
                raise entry
            if entry is not None:
                return entry
            self._running -= 1

    def _put(self, entry: _Chunk | Finished | Failed | BaseException | None) -> None:
        while not self._stop.is_set():
            try:
                return self._queue.put(entry, timeout=0.2)
            except queue.Full:
                continue
        raise _ConsumerGoneError

    def _work(self) -> None:
        child = DecoderChild() if self._options.timeout is not None else None
        try:
            while not self._stop.is_set() and (item := self._next_item()) is not None:
                try:
                    self._read(item, child)
                except ItemError as error:
                    self._put(Failed(item.id, str(error)))
            self._put(None)
        except _ConsumerGoneError:
            pass
        except BaseException as error:  # a bug or out of memory: the consumer re-raises it in the main thread
            try:
                self._put(error)
            except _ConsumerGoneError:
                pass
        finally:
            if child is not None:
                child.close()

    def _read(self, item: Item, child: DecoderChild | None) -> None:
        options = self._options
        source = {
            "start": item.start,
            "end": item.end,
            "sampling": options.sampling,
            "geometry": options.geometry,
            "threads": options.threads,
        }
        if child is None:
            stream = ItemStream(item.path, **source)
        else:
            stream = ChildStream(item.path, child=child, timeout=options.timeout, **source)
        with stream:
            chunk = _Chunk(item.id)
            for index, time, pixels in stream:
                chunk.frames.append(index)
                chunk.times.append(time)
                chunk.pixels.append(pixels)
                if len(chunk.frames) == CHUNK_FRAMES:
                    self._put(chunk)
                    chunk = _Chunk(item.id)
            if chunk.frames:
                self._put(chunk)
            outcome = stream.outcome()
            attrs = {**stream.source, "frames_decoded": outcome.frames_decoded}
        self._put(Finished(item.id, outcome.state, outcome.reason, attrs))


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


def run_device(
    extractor: Extractor,
    next_item: Callable[[], Item | None],
    options: DecodeOptions,
    emit: Callable[[Event], None],
    *,
    batch_size: int,
    workers: int,
    idle: Callable[[], None] = lambda: None,
) -> None:
    """Extract the items that ``next_item`` hands out, and ``emit`` their rows and endings in order per item.

    ``idle`` is called at least five times a second; it may raise to stop the run.
    """
    crops = 10 if options.geometry.ten_crop else 1
    in_flight: deque[tuple[object, _Batch]] = deque()
    depth = 2 if extractor.device.type == "cuda" else 1

    def submit(batch: _Batch) -> None:
        pending = None
        if batch.pixels:
            try:
                pending = extractor.submit(stack_frames(batch.pixels))
            except ItemError as error:  # the network cannot take frames of this size, which all of the batch share
                for item_id in dict.fromkeys(run[0] for run in batch.runs):
                    emit(Failed(item_id, str(error)))
                batch.runs.clear()
        in_flight.append((pending, batch))
        while len(in_flight) >= depth:
            _emit_batch(*in_flight.popleft(), crops, emit)

    batch = _Batch()
    with Decoders(next_item, options, workers, ahead=2 * batch_size + workers * CHUNK_FRAMES) as decoders:
        while True:
            idle()
            try:
                entry = decoders.get(timeout=0.2)
            except queue.Empty:
                continue
            if entry is None:
                break
            if isinstance(entry, Finished | Failed):
                batch.endings.append(entry)
                continue
            for frame, time, pixels in zip(entry.frames, entry.times, entry.pixels, strict=True):
                if batch.pixels and batch.pixels[0].shape != pixels.shape:
                    submit(batch)
                    batch = _Batch()
                batch.add(entry.item_id, frame, time, pixels)
                if len(batch.pixels) * crops >= batch_size:
                    submit(batch)
                    batch = _Batch()
        submit(batch)
        while in_flight:
            _emit_batch(*in_flight.popleft(), crops, emit)


def _emit_batch(pending: object, batch: _Batch, crops: int, emit: Callable[[Event], None]) -> None:
    start = 0
    outputs = pending.result() if pending is not None else {}
    if crops > 1:
        outputs = {name: rows.reshape(-1, crops, *rows.shape[1:]) for name, rows in outputs.items()}
    for item_id, frames, times in batch.runs:
        stop = start + len(frames)
        rows = {name: values[start:stop] for name, values in outputs.items()}
        emit(Rows(item_id, np.asarray(frames, np.int64), np.asarray(times, np.float64), rows))
        start = stop
    for ending in batch.endings:
        emit(ending)


def item_source(items: Iterable[Item]) -> Callable[[], Item | None]:
    """A thread-safe ``next_item`` over a list."""
    iterator, lock = iter(items), threading.Lock()

    def next_item() -> Item | None:
        with lock:
            return next(iterator, None)

    return next_item
