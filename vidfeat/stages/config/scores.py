"""Options of ``vidfeat report runs``, ``report confusion`` and ``report per-class``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, option, required_option
from vidfeat.stages.config.sensitivity import SUFFIXES


def check_suffix(output: Path, allowed: tuple[str, ...]) -> None:
    """UsageError unless the name ends in one of them."""
    if output.suffix.lower() not in allowed:
        came = f"has the suffix {output.suffix!r}" if output.suffix else "has no suffix"
        raise UsageError(f"--output {output} {came}; allowed are {', '.join(allowed)}.")


@dataclass(frozen=True)
class RunsReportConfig:
    """The figures of several runs side by side."""

    runs: list[Path] = argument("Folders of runs.", metavar="RUN...")
    output: Path | None = option(None, "Table (.csv) or picture (.png, .svg, .pdf) to write.", short="-o")
    mean: bool = option(False, "Add the mean over the runs, such as the splits of a set, and their standard deviation.")
    hit: str = option("1,5", "The k of hit@k: the share of items with a true label among the k best-scored classes.")
    bootstrap: int = option(1000, "Resamplings of whole groups for 95 % intervals; 0 = none.")
    seed: int = option(0, "Seed of the resampling.")

    def __post_init__(self) -> None:
        if self.output is not None:
            check_suffix(self.output, (".csv", *SUFFIXES))
        if self.mean and len(self.runs) < 2:
            raise UsageError("--mean is over two runs or more; one came.")
        if not all(part.strip().isdecimal() and int(part) > 0 for part in self.hit.split(",")):
            raise UsageError(f"--hit is {self.hit!r}; it must be whole numbers above 0 joined by commas, such as 1,5.")
        if self.bootstrap < 0:
            raise UsageError(f"--bootstrap is {self.bootstrap}; it must be 0 or more.")

    @property
    def ks(self) -> list[int]:
        """The k of hit@k, each once, ascending."""
        return sorted({int(part) for part in self.hit.split(",")})


@dataclass(frozen=True)
class ConfusionConfig:
    """Which classes a run takes for which."""

    run: Path = argument("Folder of a run.", metavar="RUN")
    output: Path = required_option("Picture to write: .png, .svg or .pdf.", short="-o")

    def __post_init__(self) -> None:
        check_suffix(self.output, SUFFIXES)


@dataclass(frozen=True)
class PerClassConfig:
    """How well each class is told from the others, by one run or two."""

    runs: list[Path] = argument("Folder of a run, or of two to compare.", metavar="RUN [RUN]")
    output: Path = required_option("Picture to write: .png, .svg or .pdf.", short="-o")
    measure: Literal["accuracy", "ap"] = option(
        "accuracy", "accuracy: share of the items of a class that were predicted right; ap: average precision."
    )

    def __post_init__(self) -> None:
        check_suffix(self.output, SUFFIXES)
        if len(self.runs) not in (1, 2):
            raise UsageError(f"{len(self.runs)} runs came; give one, or two to compare.")
