"""What all flow methods have in common."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar, Literal

import numpy as np

from vidfeat.errors import ItemError, UsageError


class FlowMethod(ABC):
    """Fields between consecutive frames.

    Attributes:
        name: as it is asked for.
        wants: ``grey``: frames [T, H, W], or ``rgb``: frames [T, H, W, 3]. The caller converts.
        settings: all that the numbers depend on besides the name, defaults included; fit for JSON and a fingerprint.
        device: that it computes on.
    """

    name: ClassVar[str]
    wants: ClassVar[Literal["grey", "rgb"]]
    least_side: ClassVar[int] = 1
    settings: dict[str, Any]
    device: str

    @classmethod
    @abstractmethod
    def complete(cls, **given: Any) -> dict[str, Any]:
        """``settings`` of a method made with those; UsageError if one is unknown or not allowed."""

    @abstractmethod
    def _fields(self, frames: np.ndarray) -> np.ndarray:
        """The fields of checked frames."""

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """``[T, H, W]`` or ``[T, H, W, 3]`` uint8, T ≥ 2 -> ``[T − 1, 2, H, W]`` float32 pixels, x before y.

        Field k leads from frame k to frame k + 1. Memory grows with T: give long videos in pieces that overlap by a
        frame.

        Raises:
            UsageError: another type or shape than the method wants, or fewer than two frames.
            ItemError: the method cannot take pictures of this size.
        """
        frames = np.asarray(frames)
        shape = "[T, H, W]" if self.wants == "grey" else "[T, H, W, 3]"
        fits = frames.ndim == 3 if self.wants == "grey" else frames.ndim == 4 and frames.shape[3] == 3
        if frames.dtype != np.uint8 or not fits or 0 in frames.shape[1:]:
            raise UsageError(
                f"the frames are {frames.dtype} {list(frames.shape)}; {self.name} wants {self.wants} frames, uint8 "
                f"{shape}. Convert them first."
            )
        if len(frames) < 2:
            raise UsageError(f"{len(frames)} frame(s) have no flow; give two or more.")
        height, width = frames.shape[1:3]
        if min(height, width) < self.least_side:
            raise ItemError(
                f"{self.name} cannot take pictures of {width}x{height} pixels: both sides must be {self.least_side} or "
                "more. Enlarge them."
            )
        return self._fields(frames)


def check_names(method: str, given: Collection[str], allowed: Collection[str]) -> None:
    """UsageError for a setting that the method does not have."""
    unknown = [name for name in given if name not in allowed]
    if unknown:
        raise UsageError(f"unknown setting {', '.join(unknown)} of {method}; allowed are {', '.join(allowed)}.")
