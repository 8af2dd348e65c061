"""Ctrl-C and SIGTERM: where a run may be stopped, and how it says so.

Inside ``deferred()`` the first signal only leaves a note that ``check()`` turns into ``Interrupted`` at a point where
everything finished is safe; a second signal, or one outside, interrupts at once.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """The run was asked to stop; the exit code is 128 + signal number (130 for Ctrl-C, 143 for SIGTERM)."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum


class _State:
    deferring = False
    pending: int | None = None


def install_handlers() -> None:
    """Route SIGINT and SIGTERM of this process through this module (main thread only)."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _handle)


def _handle(signum: int, frame: FrameType | None) -> None:
    if _State.deferring and _State.pending is None:
        _State.pending = signum
        return
    raise Interrupted(signum)


@contextmanager
def deferred() -> Iterator[None]:
    """Signals wait for the next ``check()`` inside this block."""
    _State.deferring, _State.pending = True, None
    try:
        yield
    finally:
        _State.deferring, _State.pending = False, None


def check() -> None:
    """Raise ``Interrupted`` if a signal has come since the block began."""
    if _State.pending is not None:
        raise Interrupted(_State.pending)
