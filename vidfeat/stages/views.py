"""What is made of a decoded frame in the decoder's thread: pixels for a network, pictures for flow, or both."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from vidfeat.media.image import grey_levels
from vidfeat.media.transforms import Geometry


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
