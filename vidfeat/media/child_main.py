"""The decoder child: takes items on one pipe, sends their frames on another, ends when the first is closed.

Signals meant for the parent (Ctrl-C, a scheduler's SIGTERM to every process) do not end it: the parent decides.

It imports neither torch nor the caller's main module, so it is up in a fraction of a second.
"""

import os
import select
import signal
import sys
import threading

from vidfeat.errors import ItemError, UsageError
from vidfeat.media import wire
from vidfeat.media.source import FrameSource


def main() -> None:
    """Serve until standard input ends: its other side is held by the parent alone, so it ends with the parent."""
    requests, replies = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # nothing that a library prints may come between the messages
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(requests,), daemon=True).start()
    try:
        while True:
            _serve(wire.receive(requests), replies)
    except (EOFError, BrokenPipeError):
        sys.exit(0)


def _end_with_parent(requests: int) -> None:
    """Exit when the request pipe is closed, even while a decoder hangs in C code."""
    poll = select.poll()
    poll.register(requests, 0)  # only the hang-up, which is always reported
    poll.poll()
    os._exit(0)


def _serve(request: dict, replies: int) -> None:
    try:
        frames = FrameSource(**request)
        try:
            wire.send_object(replies, ("source", frames.source))
            for index, time, image in frames:
                wire.send_frame(replies, index, time, image)
            wire.send_object(replies, ("outcome", frames.outcome()))
        finally:
            frames.close()
    except (ItemError, UsageError) as error:
        wire.send_object(replies, ("error", error))
    except BrokenPipeError:
        raise
    except Exception as error:
        wire.send_object(replies, ("error", ItemError(f"the decoder failed: {type(error).__name__}: {error}")))
