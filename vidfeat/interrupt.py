"""Ctrl-C and SIGTERM: where a run may be stopped, and how it says so.

Inside ``deferred()`` a signal only leaves a note, which ``check()`` and the end of the block turn into ``Interrupted``
at a point where everything finished is safe. Who insists is heard: the third signal interrupts at once, as does any
outside such a block.
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


_INSISTENT = 3


class _State:
    deferring = False
    pending: list[int] = []  # signals since the block began  # noqa: RUF012


def install_handlers() -> None:
    """Route SIGINT and SIGTERM of this process through this module (main thread only)."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _handle)


def _handle(signum: int, frame: FrameType | None) -> None:
    if _State.deferring:
        _State.pending.append(signum)
        if len(_State.pending) < _INSISTENT:
            return
    raise Interrupted(signum)


@contextmanager
def deferred() -> Iterator[None]:
    """Signals wait for the next ``check()`` inside this block, or for its end."""
    _State.deferring, _State.pending = True, []
    try:
        yield
        check()
    finally:
        _State.deferring, _State.pending = False, []


def check() -> None:
    """Raise ``Interrupted`` if a signal has come since the block began."""
    if _State.pending:
        raise Interrupted(_State.pending[0])


def asked() -> bool:
    """Whether ``check`` would raise: for work that several processes must stop at the same point."""
    return bool(_State.pending)
