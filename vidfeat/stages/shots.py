"""Still pictures of items, wherever these come from: for sheets that show what was found."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidfeat import media
from vidfeat.errors import ItemError, UsageError
from vidfeat.media.image import read_image
from vidfeat.media.sampling import Sampling
from vidfeat.media.video import VideoReader
from vidfeat.store import open_features


@dataclass(frozen=True)
class Source:
    """A file, and the part [start, end) of it in seconds, None for its beginning and end."""

    path: Path
    start: float | None = None
    end: float | None = None


class ItemPictures:
    """Pictures by id, from the folder that ids are relative to, or from the paths that a features file knows."""

    def __init__(self, images: Path) -> None:
        self._images = images
        if not images.exists():
            raise UsageError(f"--images {images} does not exist; name a folder, or a features file.")
        self._sources = {} if images.is_dir() else _sources(images)

    def source(self, item_id: str) -> Source | None:
        """Where the item comes from; None if nobody knows, or nothing is there."""
        found = Source(self._images / item_id) if self._images.is_dir() else self._sources.get(item_id)
        return found if found is not None and found.path.is_file() else None

    def place(self, item_id: str) -> str:
        """Where it was looked for, in words."""
        if self._images.is_dir():
            return str(self._images / item_id)
        known = self._sources.get(item_id)
        return f"{known.path} by {self._images}" if known else f"{item_id!r} in {self._images}"

    def picture(self, item_id: str) -> np.ndarray:
        """[H, W, 3] uint8 RGB: the image, or the frame in the middle of the video. ItemError if there is none."""
        source = self.source(item_id)
        if source is None:
            raise ItemError(f"there is no file {self.place(item_id)}")
        if media.kind(source.path) == "image":
            return read_image(source.path)
        return middle_frame(source)


def _sources(path: Path) -> dict[str, Source]:
    with open_features(path) as stored:
        known = {item_id: stored[item_id].attrs for item_id in stored}
    return {
        item_id: Source(Path(attrs["path"]), attrs.get("start"), attrs.get("end"))
        for item_id, attrs in known.items()
        if attrs.get("path")
    }


def middle_frame(source: Source) -> np.ndarray:
    """The frame in the middle of a video or of its segment, by time where the container says how long it is."""
    with VideoReader(source.path) as video:
        start, end = source.start or 0.0, source.end or video.info.duration
        found = None
        if end is not None and end > start:  # jumps to a keyframe, where counting frames would decode them
            found = next(video.frames(Sampling(), (start + end) / 2, source.end), None)
        if found is None:
            found = next(video.frames(Sampling(num_frames=1), source.start, source.end), None)
    if found is None:
        raise ItemError(f"'{source.path}' has no frame there")
    return found.image
