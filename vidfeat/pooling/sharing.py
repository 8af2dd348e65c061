"""Calls of compiled functions, shared among threads that wait for them."""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def shared(function: Callable, arguments: Sequence[tuple], threads: int) -> list[Any]:
    """``function(*one)`` for each one of ``arguments``, by so many threads, this one among them.

    For functions that run without Python's lock. Waking a thread costs some ten microseconds, unlike starting one.
    """
    results: list[Any] = [None] * len(arguments)
    left = iter(range(len(arguments)))

    def work() -> None:
        for number in left:
            results[number] = function(*arguments[number])

    started = [_helpers(os.getpid()).submit(work) for _ in range(min(threads, len(arguments)) - 1)]
    try:
        work()
    finally:
        for other in started:
            other.result()
    return results


@functools.cache
def _helpers(process: int) -> ThreadPoolExecutor:
    """Threads of this process: those of its parent are not in a forked one."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="rankpool")
