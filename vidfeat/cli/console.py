"""Messages on stderr, tables on stdout."""

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidfeat import progress
from vidfeat.errors import UsageError
from vidfeat.words import counted

log = logging.getLogger("vidfeat")


class _StderrHandler(logging.Handler):
    """Writes through the progress bar, so that a message never lands in the middle of it."""

    def emit(self, record: logging.LogRecord) -> None:
        progress.write_message(self.format(record))


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        prefix = {logging.WARNING: "warning: ", logging.ERROR: "error: "}.get(record.levelno, "")
        return f"vidfeat: {prefix}{text}"


def configure(*, quiet: bool = False, verbose: bool = False, log_file: Path | None = None) -> None:
    """Set up the logger ``vidfeat`` for one command."""
    progress.set_enabled(not quiet)
    log.handlers.clear()
    log.propagate = False
    log.setLevel(logging.DEBUG)
    stderr = _StderrHandler()
    stderr.setFormatter(_Formatter())
    stderr.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
    log.addHandler(stderr)
    if log_file is not None:
        try:
            problem = None if _is_log(log_file) else "it does not begin as a log of vidfeat does; choose another name"
            to_file = None if problem else logging.FileHandler(log_file, encoding="utf-8")
        except OSError as error:
            problem = error.strerror
        if problem:
            sys.stderr.write(f"vidfeat: error: cannot write --log {log_file}: {problem}\n")
            raise SystemExit(UsageError.exit_code)
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(to_file)


def _is_log(path: Path) -> bool:
    """Whether a file is new, empty, or begins as a log does; so that no video ends with messages."""
    if not path.is_file():
        return True
    with path.open("rb") as file:
        start = file.read(20)
    return not start or re.match(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,", start) is not None


def table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> str:
    """Plain aligned columns: numbers to the right, text to the left."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
    right = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    lines = []
    for row in [list(header), *cells]:
        aligned = [
            text.rjust(width) if r else text.ljust(width) for text, width, r in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def outcome_text(facts: Mapping[str, Any]) -> str:
    """How many items came to which state: ``6 done, 1 empty``."""
    return ", ".join(f"{facts[state]} {state}" for state in ("done", "truncated", "empty", "failed") if facts[state])


def rows_text(facts: Mapping[str, Any], row: str) -> str:
    """`` 98 fields in 0.4 s (245.0 fields/s).``; nothing where nothing was computed."""
    if not facts[f"{row}s"]:
        return ""
    rate = facts[f"{row}s_per_second"] or 0.0
    return f" {counted(facts[f'{row}s'], row)} in {facts['seconds']:.1f} s ({rate:.1f} {row}s/s)."


def failures_text(facts: Mapping[str, Any], result: str) -> str:
    """A line on where to read why items have no result; nothing if all have."""
    if not facts["failures"]:
        return ""
    return f"\nReasons of the {len(facts['failures'])} without {result}: {facts['output']}.failures.csv"


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def facts_text(facts: Mapping[str, Any], indent: str = "") -> str:
    """Nested facts, one per line: ``name: value``; mappings are indented, lists of plain values joined by commas."""
    lines = []
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{name}:", facts_text(value, indent + "  ")]
        elif isinstance(value, list | tuple) and value and all(isinstance(entry, Mapping) for entry in value):
            lines.append(f"{indent}{name}:")
            lines += [f"{indent}  " + ", ".join(f"{key} {_cell(entry[key])}" for key in entry) for entry in value]
        elif isinstance(value, Mapping | list | tuple):
            lines.append(f"{indent}{name}: {', '.join(map(_cell, value)) or 'none'}")
        else:
            lines.append(f"{indent}{name}: {_cell(value)}")
    return "\n".join(lines)
