"""Numbers as they are given: one wording for what is wrong with them."""

import math
from typing import Any

import numpy as np

from vidfeat.errors import UsageError


def whole(name: str, value: Any, least: int, hint: str = "") -> int:
    """The value as an int; UsageError unless it is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UsageError(f"{name} is {value!r}; it must be a whole number, {least} or more{hint}.")
    return int(value)


def positive(name: str, value: Any, hint: str = "") -> float:
    """The value as a float; UsageError unless it is finite and above 0."""
    number = real(name, value, hint)
    if number <= 0:
        raise UsageError(f"{name} is {value!r}; it must be above 0{hint}.")
    return number


def fraction(name: str, value: Any, hint: str = "") -> float:
    """The value as a float; UsageError unless it lies between 0 and 1, both excluded."""
    number = real(name, value, hint)
    if not 0 < number < 1:
        raise UsageError(f"{name} is {value!r}; it must lie between 0 and 1, both excluded{hint}.")
    return number


def real(name: str, value: Any, hint: str = "") -> float:
    """The value as a float, so that 1 and 1.0 are one setting; UsageError unless it is a finite number."""
    number = int | float | np.integer | np.floating
    if isinstance(value, bool) or not isinstance(value, number) or not math.isfinite(value):
        raise UsageError(f"{name} is {value!r}; it must be a finite number{hint}.")
    return float(value)
