"""Threads that decode items ahead of the network, into one bounded queue."""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from vidfeat.datasets.items import Item
from vidfeat.errors import ItemError
from vidfeat.media.sampling import Sampling
from vidfeat.media.stream import ChildStream, DecoderChild, ItemStream, View
from vidfeat.stages.events import Failed, Finished

CHUNK_FRAMES = 8  # frames per queue entry: few enough to keep the network fed, enough to make locking cheap
STOP_SECONDS = 2.0  # how long a run that is stopped waits for its decoders

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class DecodeOptions:
    """How every item of a run is read. ``geometry`` makes of a decoded frame what is computed on."""

    sampling: Sampling
    geometry: View
    threads: int = 1
    timeout: float | None = None


@dataclass
class Chunk:
    """Consecutive sampled frames of one item; ``pixels`` are what ``DecodeOptions.geometry`` made of them."""

    item_id: str
    frames: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    pixels: list[Any] = field(default_factory=list)


class _ConsumerGoneError(Exception):
    """The consumer has gone; a decoder thread gives up quietly."""


class Decoders:
    """Threads that take items from ``next_item`` until it returns None, and queue their frames."""

    def __init__(self, next_item: Callable[[], Item | None], options: DecodeOptions, workers: int, ahead: int) -> None:
        self._next_item = next_item
        self._options = options
        self._queue: queue.Queue[Chunk | Finished | Failed | BaseException | None] = queue.Queue(
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
        # Whoever stops a run may be killed soon after: a decoder that hangs is left behind (the threads are daemons).
        self._stop.set()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))

    def entries(self, idle: Callable[[], None]) -> Iterator[Chunk | Finished | Failed]:
        """All entries. ``idle`` is called before each, and at least five times a second; it may raise to stop."""
        while True:
            idle()
            try:
                entry = self.get(timeout=0.2)
            except queue.Empty:
                continue
            if entry is None:
                return
            yield entry

    def get(self, timeout: float) -> Chunk | Finished | Failed | None:
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

    def _put(self, entry: Chunk | Finished | Failed | BaseException | None) -> None:
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
                self._put(self._read(item, child))
            self._put(None)
        except _ConsumerGoneError:
            pass
        except BaseException as error:  # out of memory, say: the consumer re-raises it in the main thread
            with contextlib.suppress(_ConsumerGoneError):
                self._put(error)
        finally:
            if child is not None:
                child.close()

    def _read(self, item: Item, child: DecoderChild | None) -> Finished | Failed:
        """Queue the item's frames; its ending. One odd file must not stop a batch, whatever a decoder makes of it."""
        try:
            return self._read_frames(item, child)
        except ItemError as error:
            return Failed(item.id, str(error))
        except (MemoryError, _ConsumerGoneError):
            raise
        except Exception as error:
            log.debug("%s: the decoder failed", item.id, exc_info=True)
            return Failed(item.id, f"the decoder failed: {type(error).__name__}: {error}")

    def _read_frames(self, item: Item, child: DecoderChild | None) -> Finished:
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
            chunk = Chunk(item.id)
            for index, seconds, pixels in stream:
                if self._stop.is_set():
                    raise _ConsumerGoneError
                chunk.frames.append(index)
                chunk.times.append(seconds)
                chunk.pixels.append(pixels)
                if len(chunk.frames) == CHUNK_FRAMES:
                    self._put(chunk)
                    chunk = Chunk(item.id)
            if chunk.frames:
                self._put(chunk)
            outcome = stream.outcome()
            attrs = {**stream.source, "frames_decoded": outcome.frames_decoded}
        return Finished(item.id, outcome.state, outcome.reason, attrs)


def item_source(items: Iterable[Item]) -> Callable[[], Item | None]:
    """A thread-safe ``next_item`` over a list."""
    iterator, lock = iter(items), threading.Lock()

    def next_item() -> Item | None:
        with lock:
            return next(iterator, None)

    return next_item
