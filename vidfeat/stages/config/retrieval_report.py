"""Options of ``vidfeat report retrieval``."""

from dataclasses import dataclass
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, option, required_option

SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class RetrievalReportConfig:
    """How well codes of several layers find what they should."""

    found: list[Path] = argument("Folders of 'vidfeat retrieve ... -o OUT', all of one set.", metavar="OUT...")
    output: Path = required_option("Picture to write: .png, .svg or .pdf.", short="-o")
    overwrite: bool = option(False, "Replace a picture that exists already.")

    def __post_init__(self) -> None:
        if self.output.suffix.lower() not in SUFFIXES:
            came = f"has the suffix {self.output.suffix!r}" if self.output.suffix else "has no suffix"
            raise UsageError(f"--output {self.output} {came}; allowed are {', '.join(SUFFIXES)}.")
