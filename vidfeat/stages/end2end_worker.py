"""Where a video is decoded: in a thread of this process, or in a spawned one."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Protocol

from vidfeat.datasets.items import Item
from vidfeat.errors import ItemError, VidfeatError
from vidfeat.stages.end2end_decode import DecodePlan, Decoder

log = logging.getLogger("vidfeat")

_SPAWN = multiprocessing.get_context("spawn")
_STOPPING = {signal.SIGINT, signal.SIGTERM}


class Worker(Protocol):
    """Decodes one video at a time."""

    def decode(self, item: Item) -> str:
        """Into the cache; see :class:`vidfeat.stages.end2end_decode.Decoder`. ItemError or VidfeatError."""

    def close(self) -> None: ...


class ThreadWorker:
    """Decodes in the calling thread."""

    def __init__(self, plan: DecodePlan) -> None:
        self._plan = plan
        self._decoder: Decoder | None = None

    def decode(self, item: Item) -> str:
        self._decoder = self._decoder or Decoder(self._plan)
        return _decoded(self._decoder, item)

    def close(self) -> None:
        if self._decoder is not None:
            self._decoder.close()


class ProcessWorker:
    """Decodes in a process of its own, which is started when first needed, and anew if it has died."""

    def __init__(self, plan: DecodePlan) -> None:
        self._plan = plan
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def decode(self, item: Item) -> str:
        if self._process is None or not self._process.is_alive():
            self.close()
            self._start()
        process, pipe = self._process, self._pipe  # another thread may close this worker meanwhile
        try:
            pipe.send(item)
            answer = pipe.recv()
        except (EOFError, OSError):
            process.join(timeout=2)
            status = process.exitcode
            self.close()
            raise ItemError(f"the process that decoded it died (exit code {status})") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()  # what it has not finished has a temporary name
            process.join(timeout=10)
            self._pipe.close()

    def _start(self) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_main, args=(self._plan, theirs), daemon=True)
        # Signals that stop the run are for the run; blocked here, they are blocked in the process from its beginning.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()


def _decoded(decoder: Decoder, item: Item) -> str:
    """One odd file must not stop a training, whatever a decoder makes of it."""
    try:
        return decoder(item)
    except (VidfeatError, MemoryError):
        raise
    except Exception as error:
        log.debug("%s: the decoder failed", item.id, exc_info=True)
        raise ItemError(f"the decoder failed: {type(error).__name__}: {error}") from error


def _main(plan: DecodePlan, pipe: Connection) -> None:
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    decoder = Decoder(plan)
    with contextlib.suppress(EOFError, OSError):
        while True:
            item = pipe.recv()
            try:
                pipe.send(_decoded(decoder, item))
            except (VidfeatError, MemoryError) as error:
                pipe.send(error)


def _exit_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
