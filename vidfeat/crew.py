"""How many threads torch computes with, and threads that each work on a piece of their own with one of torch's."""

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
    most = torch.get_num_threads()
    count = most if count is None else min(count, most)
    if count == 1:
        yield map
        return
    with (
        torch_threads(most),  # as afterwards: a thread's own number is what those started later begin with
        ThreadPoolExecutor(count, name, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        yield pool.map


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
