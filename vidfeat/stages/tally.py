"""What became of the items of a run, for every stage that gets them from decoders."""

import logging
from collections import Counter
from typing import Any

from vidfeat.progress import Progress
from vidfeat.stages.failures import Failure

log = logging.getLogger("vidfeat")

STATES = ("done", "truncated", "empty", "failed")
KEPT = ("done", "truncated")


class Tally:
    """Counts items and frames, or whatever ``rows`` are, shows them as progress, says what is not as it should be, and
    remembers the failures."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.rows = progress.rows
        self._lost: set[str] = set()
        self.states: Counter[str] = Counter()
        self.failures: list[Failure] = []
        self.frames = 0

    def lost(self, item_id: str) -> bool:
        """Whether the item has failed; what was already under way of it then is void."""
        return item_id in self._lost

    def add_frames(self, count: int) -> None:
        """``count`` more frames were taken."""
        self.frames += count
        self._progress.add_frames(count)

    def keep(self, item_id: str, state: str, reason: str) -> None:
        """The item's result is there: done, or truncated for this reason."""
        if state == "truncated":
            log.warning("%s is truncated and kept: %s", item_id, reason)
        self._count(state)

    def fail(self, item_id: str, state: str, reason: str) -> None:
        """The item has no result: failed or empty."""
        self._lost.add(item_id)
        log.warning("%s %s: %s", item_id, state, reason)
        self.failures.append(Failure(item_id, state, reason))
        self._count(state)

    @property
    def exit_code(self) -> int:
        """Of a run that has come to its end: 1 if items failed."""
        return 1 if self.failures else 0

    def as_dict(self, seconds: float) -> dict[str, Any]:
        """What is told of every run, after ``seconds``: items by state, rows by their name, and what failed."""
        return {
            **{state: self.states[state] for state in STATES},
            self.rows: self.frames,
            "seconds": round(seconds, 3),
            f"{self.rows}_per_second": round(self.frames / seconds, 3) if seconds > 0 else None,
            "failures": [vars(failure) for failure in self.failures],
        }

    def _count(self, state: str) -> None:
        self.states[state] += 1
        self._progress.item_done(state)
