"""Options of ``vidfeat report sensitivity``."""

from dataclasses import dataclass
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, required_option

SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class SensitivityConfig:
    """Accuracy and temporal order error over the C of rank pooling."""

    runs: list[Path] = argument("Folders of 'vidfeat svm train' on codes with several sets.", metavar="RUN...")
    output: Path = required_option("Picture to write: .png, .svg or .pdf.", short="-o")

    def __post_init__(self) -> None:
        if self.output.suffix.lower() not in SUFFIXES:
            came = f"has the suffix {self.output.suffix!r}" if self.output.suffix else "has no suffix"
            raise UsageError(f"--output {self.output} {came}; allowed are {', '.join(SUFFIXES)}.")
