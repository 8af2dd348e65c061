"""Decoding in a child process, so that a decoder that hangs or crashes costs one item and not the run."""

import fcntl
import json
import math
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.errors import ItemError, UsageError
from vidfeat.media import wire
from vidfeat.media.sampling import Sampling
from vidfeat.media.source import Outcome

_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from vidfeat.media.child_main import main; main()"
_PIPE_BYTES = 1 << 20  # room for a few frames, so that the child decodes on while the parent is busy


class DecoderChild:
    """A child process that decodes one item after another; started when first needed, replaced after a kill.

    A fresh interpreter, no fork of this one (which may hold CUDA, locks and threads). It ends with this process, even
    if that is killed, as its input pipe then closes. One item at a time; not for use by several threads at once.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._current: ChildSource | None = None

    def __enter__(self) -> "DecoderChild":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the running child; None if there is none."""
        return self._process.pid if self._process is not None else None

    def open(
        self,
        path: str | Path,
        *,
        timeout: float,
        start: float | None = None,
        end: float | None = None,
        sampling: Sampling = Sampling(),
        threads: int = 1,
    ) -> "ChildSource":
        """Begin an item; waits until the child has opened it."""
        if not (math.isfinite(timeout) and timeout > 0):
            raise UsageError(f"timeout is {timeout}; it must be a number of seconds above 0.")
        if self._current is not None:
            self._current.close()
        request = {"path": str(path), "start": start, "end": end, "sampling": sampling, "threads": threads}
        self._current = ChildSource(self, request, timeout)
        return self._current

    def close(self) -> None:
        """End the child: by closing its pipes if it is idle, by force if it is not."""
        if self._process is not None and (self._current is None or self._current.finished):
            self._process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=2)
        self.kill()

    def kill(self) -> int | None:
        """Kill and reap the child; its exit status (negative: the signal), None if there was none."""
        process, self._process = self._process, None
        if process is None:
            return None
        status = process.poll()
        if status is None:
            process.kill()
            process.wait()
        process.stdin.close()
        process.stdout.close()
        return status

    def pipes(self) -> tuple[int, int]:
        """(to the child, from the child); starts it if it is not running."""
        if self._process is not None and self._process.poll() is not None:
            self.kill()
        if self._process is None:
            # Its own process group: a Ctrl-C is for this process, which still wants the item it is working on.
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                process_group=0,
            )
            if hasattr(fcntl, "F_SETPIPE_SZ"):
                with suppress(OSError):  # above the system's limit for this user: slower, not wrong
                    fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return self._process.stdin.fileno(), self._process.stdout.fileno()

    def death(self) -> str:
        """Words for how the child ended, after its pipe broke."""
        process = self._process
        try:
            status = process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            status = None
        self.kill()
        if status is None:
            return "the decoder process closed its pipe"
        if status >= 0:
            return f"the decoder process ended with status {status}"
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        hint = " (out of memory?)" if name == "SIGKILL" else " (a bug in the decoder, or a malicious file)"
        return f"the decoder process died of {name}{hint}"


class ChildSource:
    """``FrameSource`` by way of a ``DecoderChild``: same iteration, ``source``, ``outcome()`` and ``close()``."""

    def __init__(self, child: DecoderChild, request: dict[str, Any], timeout: float) -> None:
        self._child = child
        self._path = request["path"]
        self._timeout = self._left = timeout
        self._outcome: Outcome | None = None
        self.finished = False
        to_child, self._pipe = child.pipes()
        try:
            wire.send_object(to_child, request)
        except BrokenPipeError:
            self._fail(child.death())
        self.source: dict[str, Any] = self._receive()[1]

    def __iter__(self) -> Iterator[tuple[int, float, np.ndarray]]:
        while not self.finished:
            message = self._receive()
            if message[0] == "outcome":
                self._outcome = message[1]
                self.finished = True
            else:
                yield message

    def outcome(self) -> Outcome:
        """How reading ended; a ``RuntimeError`` before the last frame was taken."""
        if self._outcome is None:
            raise RuntimeError("the outcome of an item is known only after all its frames were taken")
        return self._outcome

    def close(self) -> None:
        """Give the child back; one that is still sending this item's frames is killed."""
        if not self.finished:
            self.finished = True
            self._child.kill()

    def _receive(self) -> Any:
        try:
            message = wire.receive(self._pipe, self._wait)
        except (EOFError, OSError):
            self._fail(self._child.death())
        if message[0] == "error":
            self.finished = True
            raise message[1]
        return message

    def _wait(self) -> None:
        began = time.monotonic()
        poll = select.poll()  # unlike select() at home with descriptors above 1023
        poll.register(self._pipe, select.POLLIN | select.POLLHUP)
        ready = poll.poll(max(0.0, self._left) * 1000)
        self._left -= time.monotonic() - began
        if not ready:
            self._child.kill()
            self._fail(f"timeout after {self._timeout:g} s of waiting for the decoder, which was killed")

    def _fail(self, words: str) -> None:
        self.finished = True
        raise ItemError(f"'{self._path}': {words}; raise --timeout for large files, or check the file.")
