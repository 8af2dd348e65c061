"""Videos and images in, upright RGB frames with their times out.

``stream.ItemStream`` is the entry for extraction; ``video.VideoReader`` and ``image.read_image`` are what it stands on.
"""

from pathlib import Path
from typing import Literal

from vidfeat.suffixes import IMAGE_SUFFIXES

# Names how pixels come out of a file (decoder, colour conversion, order and times of frames). It is part of the
# settings of every extraction; a change that alters pixels or times gets another name, so that old and new never mix.
DECODING = "pyav-1"


def kind(path: str | Path) -> Literal["image", "video"]:
    """How a file is read: as an image if it has an image's suffix (in any case), else as a video.

    A file that was named outright may have any suffix, or none; the decoder says whether it is a video.
    """
    return "image" if Path(path).suffix.lower() in IMAGE_SUFFIXES else "video"
