"""Threads that each work on a piece of their own with one thread of torch."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

Run = Callable[[Callable, Iterable], Iterator]


@contextmanager
def crew(name: str, count: int | None = None) -> Iterator[Run]:
    """A function like ``map`` that works in ``count`` threads (default: as many as torch uses here), or in this one.

    Each thread multiplies on its own: threads that share one small product wait for each other.
    """
    before = torch.get_num_threads()
    count = before if count is None else min(count, before)
    if count == 1:
        yield map
        return
    try:
        with ThreadPoolExecutor(count, name, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(before)  # which threads started from now on take over
