"""Decodes videos ahead of the training, in processes of their own, and says of each when it is in the cache.

What travels between processes is which video is wanted and that it is there; frames go through the cache on disk, so
that decoders that are ahead take no memory. They begin with the order of the first epoch; a video that is needed at
once goes before all others.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterable

from vidfeat import interrupt
from vidfeat.datasets.items import Item
from vidfeat.errors import ItemError
from vidfeat.stages.end2end_decode import DecodePlan, cached
from vidfeat.stages.end2end_worker import ProcessWorker, ThreadWorker
from vidfeat.stages.failures import Failure
from vidfeat.store.frames_cache import CachedItem, FramesCache

log = logging.getLogger("vidfeat")

_LOOK_SECONDS = 0.2  # between looks at signals, while waiting


class Supply:
    """Videos in the cache, decoded as they are needed; a context manager.

    Args:
        items: all that may be asked for.
        plan: how they are decoded.
        workers: processes that decode; 0 decodes in a thread of this one.

    Attributes:
        failures: what was asked for and could not be had.
    """

    def __init__(self, items: Iterable[Item], plan: DecodePlan, workers: int) -> None:
        self._items = {item.id: item for item in items}
        self._cache = FramesCache(plan.folder, plan.settings)
        self._queue: deque[str] = deque()
        self._running: set[str] = set()
        self._done: dict[str, str | Exception] = {}
        self._told: set[str] = set()
        self._changed = threading.Condition()
        self._closing = False
        self._workers = [ProcessWorker(plan) for _ in range(workers)] or [ThreadWorker(plan)]
        self._threads = [
            threading.Thread(target=self._work, args=(worker,), daemon=True, name=f"decoder-{number}")
            for number, worker in enumerate(self._workers)
        ]
        self.failures: dict[str, Failure] = {}

    def expect(self, ids: Iterable[str]) -> None:
        """Decode these, in this order, after what was asked for before, unless they are in the cache."""
        with self._changed:
            known = {*self._queue, *self._running, *self._done}
            self._queue.extend(item_id for item_id in dict.fromkeys(ids) if item_id not in known)
            self._changed.notify_all()

    def get(self, item_id: str) -> CachedItem | Failure:
        """The video's frames, waiting for them if they are not there yet, or why there are none.

        Raises:
            StorageError: the cache cannot be written.
        """
        if item_id in self.failures:
            return self.failures[item_id]
        there = cached(self._cache, self._items[item_id])
        if there is None:
            outcome = self._await(item_id)
            if isinstance(outcome, Exception) and not isinstance(outcome, ItemError):
                raise outcome
            there = None if isinstance(outcome, ItemError) else cached(self._cache, self._items[item_id])
            if there is None:
                said = str(outcome) if isinstance(outcome, ItemError) else "its frames are gone from the cache"
                self.failures[item_id] = Failure(item_id, "failed", said)
                log.warning("%s failed, and is left out: %s", item_id, said)
                return self.failures[item_id]
        if there.reason and item_id not in self._told:
            self._told.add(item_id)
            log.warning("%s is truncated and kept: %s", item_id, there.reason)
        return there

    def forget(self, item_id: str) -> None:
        """Remove the video from the cache; it will not be asked for again."""
        self._cache.remove(item_id)

    def __enter__(self) -> "Supply":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.close()
        for thread in self._threads:
            thread.join(timeout=2.0)

    def _await(self, item_id: str) -> str | Exception:
        """What came of decoding it; the video goes before all others that wait."""
        with self._changed:
            if item_id in self._queue:
                self._queue.remove(item_id)
            if item_id not in self._running:
                self._done.pop(item_id, None)  # it was there once, and is not any more
                self._queue.appendleft(item_id)
                self._changed.notify_all()
            while item_id not in self._done:
                interrupt.check()
                self._changed.wait(_LOOK_SECONDS)
            return self._done[item_id]

    def _work(self, worker: ProcessWorker | ThreadWorker) -> None:
        while (item_id := self._next()) is not None:
            try:
                # Looked for here: a process need not be started for what is in the cache.
                there = cached(self._cache, self._items[item_id])
                outcome: str | Exception = worker.decode(self._items[item_id]) if there is None else there.reason
            except Exception as error:
                outcome = error
            with self._changed:
                self._running.discard(item_id)
                self._done[item_id] = outcome
                self._changed.notify_all()

    def _next(self) -> str | None:
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            if self._closing:
                return None
            item_id = self._queue.popleft()
            self._running.add(item_id)
            return item_id
