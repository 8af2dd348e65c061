"""Options shared by the commands that read frames of videos."""

from dataclasses import dataclass
from pathlib import Path

from vidfeat.stages.config.options import argument, check_positive, option, required_option

_SAMPLING = "Which frames"


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
