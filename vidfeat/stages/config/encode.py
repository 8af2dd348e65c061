"""Options of ``vidfeat encode``."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, check_positive, option, required_option


@dataclass(frozen=True)
class EncodeConfig:
    """How the frames of every item become one vector."""

    features: Path = argument("Features file of 'vidfeat extract'.", metavar="FEATS")
    output: Path = required_option("Codes file to write (HDF5).", short="-o")
    feature: str | None = option(None, "Which feature of the file, e.g. fc7. May be left out if there is only one.")
    method: Literal["avg", "max", "rankpool", "approx-rankpool", "hier-rankpool"] = option(
        "avg", "Pooling over time; approx- and hier-: approximate and hierarchical rank pooling."
    )
    C: str = option(
        "2",
        "Rank pooling: weight of the errors (LIBLINEAR's c is C/2). Several, as 0.1,1,10 or 1e-3,...,1e3 (with the "
        "powers of ten between), write one set each: 'svm train' chooses among them.",
        panel="Rank pooling",
        metavar="NUMBER[,NUMBER…]",
    )
    epsilon: float = option(0.1, "Rank pooling: errors below this count as none.", panel="Rank pooling")
    direction: Literal["forward", "reverse", "both"] = option(
        "forward", "Rank pooling: order of the frames; both concatenates.", panel="Rank pooling"
    )
    map: Literal["none", "ssr", "posneg"] = option(
        "none",
        "Rank pooling: pointwise map of the smoothed frames (signed square root, or split by sign).",
        panel="Rank pooling",
    )
    window: int = option(20, "Frames per window.", panel="Hierarchical rank pooling")
    window_stride: int = option(1, "Frames from one window to the next.", panel="Hierarchical rank pooling")
    depth: int = option(
        2, "Levels; the last one pools the results of all windows before it.", panel="Hierarchical rank pooling"
    )
    no_smooth: bool = option(
        False, "Rank pooling: take frames as they are, without the running mean.", panel="Rank pooling"
    )
    pyramid: int = option(1, "Levels of the temporal pyramid; level l cuts the video into 2^(l-1) nodes.")
    no_normalize: bool = option(False, "Leave codes as they are instead of scaling them to L2 norm 1.")
    manifest: Path | None = option(
        None, "CSV whose labels, groups and splits replace the stored ones; only its items are encoded."
    )

    def __post_init__(self) -> None:
        check_positive(self, "pyramid", "window_stride", "depth")
        if self.window < 2:
            raise UsageError(f"--window is {self.window}; it must be 2 or more.")
        if len(self.C_values) > 1 and self.method != "rankpool":
            raise UsageError(f"--C has {len(self.C_values)} values, which only --method rankpool takes.")
        if self.epsilon < 0:
            raise UsageError(f"--epsilon is {self.epsilon}; it must be 0 or more.")

    @cached_property
    def C_values(self) -> list[float]:  # noqa: N802 - C is what everybody calls it
        """The values of ``C``, from small to large."""
        return parse_C(str(self.C))


def parse_C(text: str) -> list[float]:  # noqa: N802
    """``"0.1,1,10"`` or ``"1e-3,...,1e3"`` (dots: the powers of ten between) -> sorted values. UsageError if bad."""
    parts = [part.strip() for part in text.replace("…", "...").split(",")]
    values: list[float] = []
    for place, part in enumerate(parts):
        if part == "..." and 0 < place < len(parts) - 1:
            first, last = (_positive(parts[i], text) for i in (place - 1, place + 1))
            steps = round(math.log10(last / first))
            if steps < 1 or not math.isclose(first * 10.0**steps, last):
                raise UsageError(f"--C {text!r}: from {first:g} to {last:g} are no whole powers of ten.")
            values += [float(f"{first * 10.0**k:.12g}") for k in range(1, steps)]
        else:
            values.append(_positive(part, text))
    if len({f"{value:.12g}" for value in values}) < len(values):
        raise UsageError(f"--C {text!r} has a value twice; each becomes a set of its own.")
    return sorted(values)


def _positive(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"--C is {whole!r}; it must be a number above 0, or several joined by commas.")
    return value
