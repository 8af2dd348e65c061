"""Independent pieces of work on all cores, with their results in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

from vidfeat.crew import torch_threads


def in_lanes(work: Callable[[Any], Any], arguments: Iterable[Any], lanes: int) -> Iterator[Future]:
    """Futures of ``work(argument)``, done, in the order of the arguments, which are taken as they are needed.

    Several lanes compute with one thread of torch each: threads that share one small product wait for each other, and
    what stands between the products would keep one core busy only. Memory holds two arguments per lane and one more.
    """
    under_way: deque[Future] = deque()
    with (
        torch_threads(1) if lanes > 1 else nullcontext(),
        ThreadPoolExecutor(lanes, thread_name_prefix="lane") as pool,
    ):
        try:
            for argument in arguments:
                under_way.append(pool.submit(work, argument))
                if len(under_way) > 2 * lanes:
                    yield _finished(under_way.popleft())
            while under_way:
                yield _finished(under_way.popleft())
        finally:
            for future in under_way:
                future.cancel()


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _finished(future: Future) -> Future:
    future.exception()  # waits
    return future
