"""Items that gave nothing, and the file that lists them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vidfeat.store import write_csv


@dataclass(frozen=True)
class Failure:
    """An item without a result: ``state`` is failed or empty."""

    id: str
    state: str
    reason: str


def failures_path(output: Path) -> Path:
    """``OUT.failures.csv``."""
    return output.with_name(output.name + ".failures.csv")


def write_failures(output: Path, failures: Iterable[Failure]) -> None:
    """``OUT.failures.csv`` with id, state and reason, sorted by id; removed when nothing failed."""
    rows = sorted([failure.id, failure.state, failure.reason] for failure in failures)
    if rows:
        write_csv(failures_path(output), ["id", "state", "reason"], rows)
    else:
        failures_path(output).unlink(missing_ok=True)
