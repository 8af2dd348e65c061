"""The plain outcome of the small commands."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Summary:
    """Facts to print, and the exit code."""

    facts: dict[str, Any] = field(default_factory=dict)
    exit_code: int = 0

    def as_dict(self) -> dict[str, Any]:
        return self.facts
