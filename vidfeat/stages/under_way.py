"""Computations that run elsewhere, with their results in the order in which they were begun."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from vidfeat.errors import ItemError


class Pending(Protocol):
    """A computation under way, such as a future."""

    def result(self) -> Any:
        """What came out; waits for it."""


class Together:
    """Several computations of named values as one. ``pending``: what goes behind names -> the computation."""

    def __init__(self, pending: Mapping[str, Pending]) -> None:
        self._pending = pending

    def result(self) -> dict[str, Any]:
        return {name + suffix: value for suffix, one in self._pending.items() for name, value in one.result().items()}


class UnderWay:
    """Delivers the oldest computation as soon as ``depth`` of them are under way, before another may begin.

    ``deliver`` gets what came out, or the ItemError, and what was given beside it.
    """

    def __init__(self, depth: int, deliver: Callable[[Any, Any], None]) -> None:
        self._depth, self._deliver = depth, deliver
        self._queue: deque[tuple[Pending | ItemError | None, Any]] = deque()

    def put(self, pending: Pending | ItemError | None, about: Any) -> None:
        """One more; None and errors keep their place in the order."""
        self._queue.append((pending, about))
        while len(self._queue) >= self._depth:
            self._collect()

    def flush(self) -> None:
        """Deliver everything."""
        while self._queue:
            self._collect()

    def _collect(self) -> None:
        pending, about = self._queue.popleft()
        try:
            outcome = pending if pending is None or isinstance(pending, ItemError) else pending.result()
        except ItemError as error:
            outcome = error
        self._deliver(outcome, about)
