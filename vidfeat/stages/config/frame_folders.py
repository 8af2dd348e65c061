"""Options of ``vidfeat frames``."""

from dataclasses import dataclass
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.stages.config.frames import FramesConfig, check_size, sides_of
from vidfeat.stages.config.options import argument, option, required_option
from vidfeat.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES


@dataclass(frozen=True)
class FrameFoldersConfig(FramesConfig):
    """Which frames of which videos become pictures, and how large."""

    inputs: list[Path] = argument(
        "Videos, directories (searched recursively) or CSV manifests, as for 'vidfeat extract'.", metavar="IN..."
    )
    output: Path = required_option(
        "Folder to write: FOLDER/ID/000123.png for frame 123 of each video, and FOLDER/frames.csv, a manifest of all.",
        short="-o",
        metavar="FOLDER",
    )
    size: str | None = option(
        None,
        "Resize frames: their shorter side, e.g. 256, or exactly WxH, e.g. 320x240. By default as they are.",
        metavar="N|WxH",
    )
    overwrite: bool = option(False, "Replace the pictures of these videos, and frames.csv, where they are there.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self.size)
        if self.output.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES | {".csv", ".h5", ".gif", ".pdf"}:
            raise UsageError(
                f"--output {self.output} has the suffix {self.output.suffix!r}, but a folder of pictures is written. "
                "Name a folder."
            )

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """(width, height), or (shorter side, None), or (None, None) to leave frames as they are."""
        return sides_of(self.size)
