"""Videos and images in, upright RGB frames with their times out.

``stream.ItemStream`` is the entry for extraction; ``video.VideoReader`` and ``image.read_image`` are what it stands on.
"""

from pathlib import Path
from typing import Literal

from vidfeat.errors import ItemError
from vidfeat.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES


def kind(path: str | Path) -> Literal["image", "video"]:
    """Whether a file is read as an image or as a video, by its suffix in any case; an ``ItemError`` for any other."""
    suffix = Path(path).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    raise ItemError(
        f"'{path}' has the suffix '{suffix}', which is neither a video ({' '.join(sorted(VIDEO_SUFFIXES))}) nor an "
        f"image ({' '.join(sorted(IMAGE_SUFFIXES))}); rename it, or leave it out of the list."
    )
