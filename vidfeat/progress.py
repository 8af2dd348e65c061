"""Progress on stderr: a tqdm bar on a terminal, one line a minute elsewhere (log files of batch jobs)."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Self, TextIO

LINE_SECONDS = 60.0
_FAILED_STATES = ("failed", "empty")


class _Shared:
    """The bar on the terminal now, which messages must not break, and whether progress is wanted at all."""

    bar: Any = None
    enabled = True


def set_enabled(enabled: bool) -> None:
    """Whether a ``Progress`` without its own ``enabled`` shows anything in this process (``-q`` turns it off)."""
    _Shared.enabled = enabled


def write_message(text: str, stream: TextIO | None = None) -> None:
    """Write one line to stderr, above the bar if one is shown."""
    stream = sys.stderr if stream is None else stream
    if _Shared.bar is not None:
        _Shared.bar.write(text, file=stream)
    else:
        stream.write(text + "\n")
        stream.flush()


class Progress:
    """Counts finished items and frames, and shows them; use it as a context manager.

    ``total`` is the number of items still to do, ``rows`` what is counted besides. Terminal: a bar with the counts of
    each state and frames/s. Otherwise a line every 60 s, as items or frames come in, and one at the end if any was
    written before: done, failed, total, frames/s (mean since the start) and time left (from the mean time per item).
    ``enabled=False`` shows nothing. ``stream`` and ``clock`` are for tests.
    """

    def __init__(
        self,
        total: int,
        unit: str = "items",
        enabled: bool | None = None,
        *,
        rows: str = "frames",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.unit, self.rows = total, unit, rows
        self.states: Counter[str] = Counter()
        self.frames = 0
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._enabled = (_Shared.enabled if enabled is None else enabled) and total > 0
        self._bar: Any = None
        self._started = self._last_line = clock()

    def __enter__(self) -> Self:
        self._started = self._last_line = self._clock()
        if self._enabled and self._stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self.total, unit=f" {self.unit}", file=self._stream, dynamic_ncols=True)
            _Shared.bar = self._bar
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = _Shared.bar = None
        elif self._enabled and self._last_line > self._started:
            self._write_line()

    def item_done(self, state: str = "done") -> None:
        """One more item reached its final state: done, truncated, empty or failed."""
        self.states[state] += 1
        if self._bar is not None:
            self._bar.update(1)
            self._show_counts()
        else:
            self._tick()

    def add_frames(self, count: int) -> None:
        """``count`` more frames, or whatever ``rows`` are, were processed."""
        self.frames += count
        if self._bar is not None:
            self._show_counts()
        else:
            self._tick()

    def message(self, text: str) -> None:
        """Write a line that does not break the bar; shown even where progress itself is off."""
        write_message(text, self._stream)

    def line(self) -> str:
        """The state of the run as one line of text."""
        finished = self.states.total()
        failed = sum(self.states[state] for state in _FAILED_STATES)
        elapsed = max(self._clock() - self._started, 1e-9)
        left = _clock_time(elapsed / finished * (self.total - finished)) if finished else "unknown"
        rate = f"{self.frames / elapsed:.1f} {self.rows}/s, " if self.frames else ""
        return f"{finished - failed} done, {failed} failed, {self.total} {self.unit} in total, {rate}time left {left}"

    def _tick(self) -> None:
        if self._enabled and self._clock() - self._last_line >= LINE_SECONDS:
            self._write_line()

    def _write_line(self) -> None:
        self._last_line = self._clock()
        write_message(self.line(), self._stream)

    def _show_counts(self) -> None:
        elapsed = max(self._clock() - self._started, 1e-9)
        failed = sum(self.states[state] for state in _FAILED_STATES)
        rate = f", {self.frames / elapsed:.1f} {self.rows}/s" if self.frames else ""
        # refresh=False: tqdm itself limits how often the terminal is written to.
        self._bar.set_postfix_str(f"{failed} failed{rate}", refresh=False)


def _clock_time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
