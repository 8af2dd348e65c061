"""Options of ``vidfeat fuse`` and ``vidfeat compare``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, option, required_option

EQUAL, AUTO = "equal", "auto"


@dataclass(frozen=True)
class FuseConfig:
    """How the scores of several runs become those of one."""

    runs: list[Path] = argument("Folders of runs that were tested on the same items.", metavar="RUN...")
    output: Path = required_option("Folder for results.json, predictions.csv and the weights.", short="-o")
    weights: str = option(
        EQUAL,
        "One number for each RUN, joined by commas, e.g. 1,1.5; equal; or auto = the best in steps of 1/20 (two runs) "
        "or 1/10 (three to six), the most even of equally good ones. Auto never judges weights by the items they are "
        "for: leaving one group out, each group has the weights that are best on all others; with a split see "
        "--validation.",
        metavar="W,W,...",
    )
    normalize: Literal["l1", "shift", "softmax", "none"] = option(
        "l1",
        "What makes scores comparable, item by item. l1: divided by the sum of their absolute values, signs stay. "
        "shift: minus the smallest, then divided by the sum. softmax: exp, divided by the sum. none: as they are. "
        "shift and softmax give shares, from 0 to 1.",
    )
    validation: list[Path] = option(
        (),
        "For --weights auto with a split, once for each RUN in their order: a run of the same method with "
        "--leave-one-group-out on the training items alone (a --manifest that lists no others).",
    )
    overwrite: bool = option(False, "Replace a RUN folder that exists already.")

    def __post_init__(self) -> None:
        if len(self.runs) < 2:
            raise UsageError(f"Fusion needs two runs or more; {len(self.runs)} came.")
        if self.weights not in (EQUAL, AUTO):
            given = self.weights.split(",")
            numbers = [value for text in given if (value := _number(text)) is not None]
            if len(numbers) < len(given) or min(numbers) < 0 or max(numbers) == 0:
                raise UsageError(
                    f"--weights is {self.weights!r}; allowed are {EQUAL}, {AUTO}, or numbers of 0 or more joined by "
                    "commas, not all of them 0."
                )
            if len(numbers) != len(self.runs):
                raise UsageError(
                    f"--weights {self.weights} has {len(numbers)} numbers for {len(self.runs)} runs; give one of each."
                )
        if self.validation and self.weights != AUTO:
            raise UsageError("--validation is for --weights auto; fixed weights have nothing to learn from it.")
        if self.validation and len(self.validation) != len(self.runs):
            raise UsageError(
                f"--validation came {len(self.validation)} times for {len(self.runs)} runs; give it once for each, in "
                "their order."
            )

    @property
    def numbers(self) -> list[float] | None:
        """The weights that were given; None if they are to be chosen."""
        if self.weights == AUTO:
            return None
        return [1.0] * len(self.runs) if self.weights == EQUAL else [float(text) for text in self.weights.split(",")]


@dataclass(frozen=True)
class CompareConfig:
    """Whether one run is better than another on the same items."""

    runs: list[Path] = argument(
        "Two folders of runs; with --splits k: k of the one, then k of the other.", metavar="RUN..."
    )
    splits: int = option(1, "Splits of the set. The difference is the mean over them.")
    bootstrap: int = option(10_000, "Resamplings of whole groups for the 95 % intervals and for p; 0 = neither.")
    seed: int = option(0, "Seed of the resampling.")

    def __post_init__(self) -> None:
        if self.splits < 1 or len(self.runs) != 2 * self.splits:
            raise UsageError(
                f"{len(self.runs)} runs came with --splits {self.splits}; compare takes two runs, or with --splits k "
                "first k of the one method, then k of the other, in the same order of splits."
            )
        if self.bootstrap < 0:
            raise UsageError(f"--bootstrap is {self.bootstrap}; it must be 0 or more.")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
