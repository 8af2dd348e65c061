"""The one entry for extraction: the sampled frames of an item, resized and cropped, in this process or in a child."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vidfeat.media.child import ChildSource, DecoderChild
from vidfeat.media.sampling import Sampling
from vidfeat.media.source import FrameSource, Outcome

__all__ = ["ChildStream", "DecoderChild", "ItemStream", "Outcome"]

# A ``Geometry``, or whatever else makes of [H, W, 3] uint8 what is wanted of a frame.
View = Callable[[np.ndarray], Any]


class _Stream:
    """(index, time, pixels) of each sampled frame of a source; a context manager."""

    def __init__(self, frames: FrameSource | ChildSource, geometry: View) -> None:
        self._frames = frames
        self._geometry = geometry

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def source(self) -> dict[str, Any]:
        """width, height (as displayed), rotation, fps, frames_expected."""
        return self._frames.source

    def __iter__(self) -> Iterator[tuple[int, float, Any]]:
        for index, time, image in self._frames:
            yield index, time, self._geometry(image)

    def outcome(self) -> Outcome:
        """How reading ended; known once all frames were taken."""
        return self._frames.outcome()

    def close(self) -> None:
        self._frames.close()


class ItemStream(_Stream):
    """Sampled frames of a video, of its segment [``start``, ``end``) in seconds, or of an image.

    Opening and iterating raise ``ItemError`` (in words) if the item cannot be read. Decoding, colour conversion and
    resizing release the GIL, so several streams run in threads; each uses ``threads`` decoder threads and nothing else.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        geometry: View,
        start: float | None = None,
        end: float | None = None,
        sampling: Sampling = Sampling(),
        threads: int = 1,
    ) -> None:
        super().__init__(FrameSource(path, start=start, end=end, sampling=sampling, threads=threads), geometry)


class ChildStream(_Stream):
    """``ItemStream`` whose decoding happens in ``child``, and fails with ``ItemError`` after ``timeout`` seconds.

    The clock runs only while this process waits for the child: a slow consumer does not use it up, a decoder that
    hangs does. A child that hangs or dies is replaced for the next item. Geometry runs in this process.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        child: DecoderChild,
        timeout: float,
        geometry: View,
        start: float | None = None,
        end: float | None = None,
        sampling: Sampling = Sampling(),
        threads: int = 1,
    ) -> None:
        frames = child.open(path, timeout=timeout, start=start, end=end, sampling=sampling, threads=threads)
        super().__init__(frames, geometry)
