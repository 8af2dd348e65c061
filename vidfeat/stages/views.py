"""What is made of a decoded frame in the decoder's thread: pixels for a network, pictures for flow, or both."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from vidfeat.media.image import grey_levels
from vidfeat.media.transforms import Geometry


class Scaled(tuple):
    """Pixels of one frame in several sizes; ``shape`` has those of all."""

    @property
    def shape(self) -> tuple[torch.Size, ...]:
        return tuple(pixels.shape for pixels in self)


@dataclass(frozen=True)
class ScaledViews:
    """The frame, resized and cropped in several ways."""

    geometries: tuple[Geometry, ...]

    def __call__(self, image: np.ndarray) -> Scaled:
        return Scaled(geometry(image) for geometry in self.geometries)


def scaled_geometry(geometry: Geometry, scale: float) -> Geometry:
    """The same with all lengths times ``scale``."""
    lengths = {"size": geometry.size, "shorter_side": geometry.shorter_side}
    return replace(geometry, **{name: value and round(value * scale) for name, value in lengths.items()})


def size_suffix(size: int, own: int) -> str:
    """What the names of layers end with that saw pictures of another size than their network's own: ``@448``."""
    return "" if size == own else f"@{size}"


@dataclass(frozen=True)
class FlowView:
    """The whole frame, resized, as a flow method wants it: [H, W] grey or [H, W, 3] RGB, uint8."""

    geometry: Geometry
    wants: Literal["grey", "rgb"]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return self.picture(self.geometry.resized(image))

    def picture(self, resized: torch.Tensor) -> np.ndarray:
        """The same of pixels that were resized already."""
        pixels = resized.movedim(0, -1).numpy()
        return grey_levels(pixels) if self.wants == "grey" else pixels


@dataclass(frozen=True)
class BothViews:
    """(pixels, picture): for a network that sees the frame itself, and for flow; the frame is resized once."""

    flow: FlowView

    def __call__(self, image: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        resized = self.flow.geometry.resized(image)
        return self.flow.geometry.cropped(resized), self.flow.picture(resized)
