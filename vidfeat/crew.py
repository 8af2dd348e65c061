"""How many threads torch computes with, and work shared among threads that each compute with one of torch's."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import torch

Run = Callable[[Callable, Iterable], Iterable]


def shared(function: Callable, arguments: Sequence[tuple], threads: int) -> list[Any]:
    """``function(*one)`` for each one of ``arguments``, by so many threads, this one among them.

    For functions that run without Python's lock most of their time. The other threads wait for work between calls:
    waking one costs some ten microseconds, much less than starting one and warming its memory.
    """
    results: list[Any] = [None] * len(arguments)
    left = iter(range(len(arguments)))

    def work() -> None:
        try:
            for number in left:
                results[number] = function(*arguments[number])
        finally:  # after an error nobody begins anything more
            for _ in left:
                pass

    started: list[Future] = []
    try:
        for _ in range(min(threads, len(arguments)) - 1):
            started.append(_helpers(os.getpid()).submit(work))
        work()
    finally:
        for _ in left:
            pass
        going = [other for other in started if not other.cancel()]
        wait(going)
    for other in going:  # this thread's own error goes first
        other.result()
    return results


@contextmanager
def crew(several: bool = True) -> Iterator[Run]:
    """A function like ``map`` that works in as many threads as torch uses here, or, if not ``several``, in this one.

    Each thread multiplies on its own: threads that share one small product wait for each other.
    """
    count = torch.get_num_threads()
    if count == 1 or not several:
        yield map
        return
    graph, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def alone(function: Callable, item: Any) -> Any:
        torch.set_num_threads(1)  # every thread has its own, as it has its own modes
        with torch.inference_mode(inference), torch.set_grad_enabled(graph), torch.autocast("cpu", enabled=False):
            return function(item)

    with torch_threads(1):
        yield lambda function, items: shared(alone, [(function, item) for item in items], count)


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Every product of torch on so many threads, then as before; 1 for work that has threads of its own. None changes
    nothing."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count is not None:
            torch.set_num_threads(before)


@functools.cache
def _helpers(process: int) -> ThreadPoolExecutor:
    """Threads of this process: those of its parent are not in a forked one."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="vidfeat")
