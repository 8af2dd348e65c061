"""Declares the options of a stage once, as fields of a frozen dataclass.

The command line, ``--config`` files and Python callers all read the same declaration, so a default cannot differ
between them and no option can be parsed and lost.
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from vidfeat.errors import UsageError


def option(
    default: Any, help: str, *, panel: str = "Options", short: str | None = None, metavar: str | None = None
) -> Any:
    """A field that becomes ``--field-name`` on the command line."""
    return dataclasses.field(
        default=default, metadata={"help": help, "panel": panel, "short": short, "metavar": metavar, "argument": False}
    )


def argument(help: str, *, metavar: str | None = None, default: Any = dataclasses.MISSING) -> Any:
    """A positional argument; required unless it has a default."""
    return dataclasses.field(default=default, metadata={"help": help, "metavar": metavar, "argument": True})


def required_option(help: str, *, short: str | None = None, metavar: str | None = None) -> Any:
    """An option without a default."""
    return dataclasses.field(
        metadata={"help": help, "panel": "Options", "short": short, "metavar": metavar, "argument": False}
    )


def flag_of(field_name: str) -> str:
    """``num_frames`` -> ``--num-frames``; ``lambda_`` (a word of Python's without the line) -> ``--lambda``."""
    return "--" + field_name.rstrip("_").replace("_", "-")


def check_positive(config: Any, *names: str) -> None:
    """Raise UsageError unless every named field is None or above zero and finite."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise UsageError(f"{flag_of(name)} is {value}; it must be above 0.")
        if value == math.inf:
            raise UsageError(f"{flag_of(name)} is {value}; it must be finite.")


def as_json(config: Any) -> dict[str, Any]:
    """The fields of a config as plain JSON values (paths become strings)."""
    return json.loads(
        json.dumps(dataclasses.asdict(config), default=lambda value: str(value) if isinstance(value, Path) else value)
    )
