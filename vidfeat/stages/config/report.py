"""Options of ``vidfeat report dynamic-image`` and ``vidfeat report flow``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.flow import MethodOptions
from vidfeat.stages.config.frames import FramesConfig, check_size, sides_of
from vidfeat.stages.config.options import argument, check_positive, option, required_option
from vidfeat.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES

_NO_FOLDERS = IMAGE_SUFFIXES | VIDEO_SUFFIXES | {".gif", ".pdf", ".svg"}


@dataclass(frozen=True)
class DynamicImageConfig(FramesConfig):
    """Which videos become pictures, from which frames, and how large."""

    inputs: list[Path] = argument(
        "Videos, directories (searched recursively) or CSV manifests, as for 'vidfeat extract'.", metavar="IN..."
    )
    output: Path = required_option(
        "PNG file for one item, or a folder: one ID.png for each. Pictures that are there are replaced.", short="-o"
    )
    window: int | None = option(
        None, "Frames of one dynamic image; several stand on one sheet. By default one of the whole video."
    )
    hop: int | None = option(None, "Frames from the beginning of a window to that of the next. By default --window.")
    size: str | None = option(
        None,
        "Resize frames: their shorter side, e.g. 256, or exactly WxH, e.g. 320x240. By default as they are.",
        metavar="N|WxH",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "window", "hop")
        if self.hop is not None and self.window is None:
            raise UsageError(f"--hop {self.hop} came without --window, the number of frames of one dynamic image.")
        if self.window == 1:
            raise UsageError("--window is 1; a dynamic image shows change, for which it takes 2 frames or more.")
        check_size(self.size)
        suffix = self.output.suffix.lower()
        if suffix != ".png" and suffix in _NO_FOLDERS:
            raise UsageError(
                f"--output {self.output} has the suffix {self.output.suffix!r}; pictures are written as .png. "
                "End it in .png for one picture, or name a folder."
            )

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """(width, height), or (shorter side, None), or (None, None) to leave frames as they are."""
        return sides_of(self.size)


@dataclass(frozen=True)
class FlowReportConfig(MethodOptions, FramesConfig):
    """Which videos are shown with their flow, and as what."""

    inputs: list[Path] = argument(
        "Videos, directories (searched recursively) or CSV manifests, as for 'vidfeat flow'.", metavar="IN..."
    )
    output: Path = required_option(
        "MP4 file for one item, or a folder: one ID.mp4 for each, or with --form png a folder ID of pictures.",
        short="-o",
    )
    form: Literal["mp4", "png"] = option(
        "mp4",
        "mp4: frames and the colours of their flow side by side; png: the colours of every field.",
    )
    maximum: float | None = option(
        None,
        "Pixels of motion that have full colour. By default what 99 % of the pixels of the first two seconds or so do "
        "not exceed, and 1 at least; give a number to compare videos.",
    )
    size: str | None = option(
        None,
        "Resize frames before the flow is computed: their shorter side, e.g. 256, or exactly WxH, e.g. 320x240. By "
        "default as they are.",
        metavar="N|WxH",
    )
    overwrite: bool = option(False, "Replace films and pictures that are there.")
    device: str = option("auto", "cpu or cuda:N; auto = a GPU if there is one that the method computes on.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_flow()
        check_size(self.size)
        check_positive(self, "maximum")
        suffix = self.output.suffix.lower()
        if suffix in _NO_FOLDERS | {".mp4"} and (self.form, suffix) != ("mp4", ".mp4"):
            allowed = "films are written as .mp4" if self.form == "mp4" else "--form png writes a folder"
            raise UsageError(f"--output {self.output} has the suffix {self.output.suffix!r}; {allowed}. Name a folder.")

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """(width, height), or (shorter side, None), or (None, None) to leave frames as they are."""
        return sides_of(self.size)
