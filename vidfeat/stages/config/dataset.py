"""Options of ``vidfeat dataset``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, option, required_option

Name = Literal["ucf101", "hmdb51", "jhmdb", "ucf-sports", "hollywood2", "sports1m", "kinetics", "activitynet"]
NAMES: tuple[str, ...] = get_args(Name)


@dataclass(frozen=True)
class DatasetConfig:
    """Which data set, where its videos and lists are, and the manifest to write."""

    name: Name = argument("The data set.", metavar="NAME")
    root: Path = argument("Folder with its videos, in any folders below.", metavar="ROOT")
    output: Path = required_option("Manifest to write (.csv).", short="-o")
    splits: Path | None = option(
        None,
        "Folder, or file, of the official lists. By default they are looked for in ROOT, beside it, and one folder "
        "down. For ucf-sports, whose usual split is known: a file of lines such as 'Diving-Side/001 test'.",
    )
    whole_videos: bool = option(
        False, "activitynet: one item for every video, with all its labels, instead of one for every segment."
    )
    allow_missing: bool = option(
        False, "Exit code 0 even if listed items have no file; OUTPUT.missing.csv lists them all the same."
    )
    overwrite: bool = option(False, "Replace OUTPUT if it exists.")

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise UsageError(f"There is no data set {self.name!r}; there are {', '.join(NAMES)}.")
        if self.whole_videos and self.name != "activitynet":
            raise UsageError(f"--whole-videos has no effect with {self.name}, only with activitynet. Leave it out.")
        if self.output.suffix.lower() != ".csv":
            raise UsageError(f"--output {self.output} must end in .csv: by that, other commands know a manifest.")
