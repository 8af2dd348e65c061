"""Options shared by the commands that read frames of videos."""

import re
from dataclasses import dataclass
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, check_positive, option, required_option

_SAMPLING = "Which frames"
_SIZE = re.compile(r"([1-9]\d*)(?:x([1-9]\d*))?", re.ASCII)


@dataclass(frozen=True)
class FramesConfig:
    """Which items are read, where results go, and which frames are kept.

    A command's own config inherits from this, and declares ``output`` (and ``inputs``) anew for help of its own: they
    keep their place. Its ``__post_init__`` calls this one.
    """

    inputs: list[Path] = argument(
        "Videos, images, directories (searched recursively) or CSV manifests.", metavar="IN..."
    )
    output: Path = required_option("What to write.", short="-o")

    fps: float | None = option(
        None, "Frames per second to keep, by timestamps. By default all frames.", panel=_SAMPLING
    )
    num_frames: int | None = option(None, "Keep this many frames, spread evenly over each video.", panel=_SAMPLING)
    stride: int = option(1, "Keep every n-th frame.", panel=_SAMPLING)
    max_seconds: float | None = option(None, "Read at most this much of each video.", panel=_SAMPLING)
    timeout: float | None = option(
        None, "Seconds after which one item is given up. Decodes in child processes, which can be killed."
    )

    def __post_init__(self) -> None:
        check_positive(self, "fps", "num_frames", "stride", "max_seconds", "timeout")


def check_size(size: str | None) -> None:
    """UsageError unless ``size`` is None, a shorter side, or WxH."""
    if size is not None and not _SIZE.fullmatch(size):
        raise UsageError(
            f"--size is {size!r}; it must be the shorter side in pixels, such as 256, or WxH, such as 320x240."
        )


def sides_of(size: str | None) -> tuple[int | None, int | None]:
    """(width, height), or (shorter side, None), or (None, None) to leave frames as they are."""
    if size is None:
        return None, None
    first, second = _SIZE.fullmatch(size).groups()
    return int(first), int(second) if second else None
