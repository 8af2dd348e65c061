"""Options of ``vidfeat report dynamic-image``."""

import re
from dataclasses import dataclass
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.stages.config.frames import FramesConfig
from vidfeat.stages.config.options import argument, check_positive, option, required_option
from vidfeat.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES

_NO_FOLDERS = IMAGE_SUFFIXES | VIDEO_SUFFIXES | {".gif", ".pdf", ".svg"}
_SIZE = re.compile(r"([1-9]\d*)(?:x([1-9]\d*))?", re.ASCII)


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
        if self.size is not None and not _SIZE.fullmatch(self.size):
            raise UsageError(
                f"--size is {self.size!r}; it must be the shorter side in pixels, such as 256, or WxH, such as 320x240."
            )
        suffix = self.output.suffix.lower()
        if suffix != ".png" and suffix in _NO_FOLDERS:
            raise UsageError(
                f"--output {self.output} has the suffix {self.output.suffix!r}; pictures are written as .png. "
                "End it in .png for one picture, or name a folder."
            )

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """(width, height), or (shorter side, None), or (None, None) to leave frames as they are."""
        if self.size is None:
            return None, None
        first, second = _SIZE.fullmatch(self.size).groups()
        return int(first), int(second) if second else None
