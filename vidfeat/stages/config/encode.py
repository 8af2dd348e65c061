"""Options of ``vidfeat encode``."""

from dataclasses import dataclass
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
    method: Literal["avg", "max", "rankpool"] = option("avg", "Pooling over time.")
    C: float = option(2.0, "Rank pooling: weight of the errors (LIBLINEAR's c is C/2).", panel="Rank pooling")
    epsilon: float = option(0.1, "Rank pooling: errors below this count as none.", panel="Rank pooling")
    direction: Literal["forward", "reverse", "both"] = option(
        "forward", "Rank pooling: order of the frames; both concatenates.", panel="Rank pooling"
    )
    map: Literal["none", "ssr", "posneg"] = option(
        "none",
        "Rank pooling: pointwise map of the smoothed frames (signed square root, or split by sign).",
        panel="Rank pooling",
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
        check_positive(self, "C", "pyramid")
        if self.epsilon < 0:
            raise UsageError(f"--epsilon is {self.epsilon}; it must be 0 or more.")
