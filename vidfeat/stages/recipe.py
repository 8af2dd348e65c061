"""What a run computes from the frames of its items, in plain values that can be sent to the process of a device."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vidfeat.flow.methods import find_method
from vidfeat.media.sampling import Sampling
from vidfeat.media.stream import View
from vidfeat.media.transforms import Geometry
from vidfeat.stages.decoding import DecodeOptions
from vidfeat.stages.views import BothViews, FlowView, ScaledViews, scaled_geometry


@dataclass(frozen=True)
class FlowRecipe:
    """A flow method with the settings that were given, and the type its fields are needed in.

    ``dtype``: uint8 levels within ``bound``, or pixels.
    """

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    dtype: Literal["uint8", "float16", "float32"] = "uint8"
    bound: float = 20.0


@dataclass(frozen=True)
class Recipe:
    """Networks are given by the arguments of ``Extractor``, but for the device.

    Attributes:
        rgb: the network that sees the frames.
        flow: how their flow is found.
        flow_network: the network that sees the flow; None if the fields themselves are wanted.
        flow_stride: fields from what it sees at one time to the next.
        scales: multiples of the size that the network of the frames sees; not with flow.
        codebooks: files of codebooks; what they describe is not kept, but its codes.
    """

    rgb: Mapping[str, Any] | None = None
    flow: FlowRecipe | None = None
    flow_network: Mapping[str, Any] | None = None
    flow_stride: int = 1
    scales: tuple[float, ...] = (1.0,)
    codebooks: tuple[str, ...] = ()

    def view(self, geometry: Geometry) -> View:
        """What is to be made of every decoded frame."""
        if self.flow is None and self.scales == (1.0,):
            return geometry
        if self.flow is None:
            return ScaledViews(tuple(scaled_geometry(geometry, scale) for scale in self.scales))
        flow = FlowView(geometry, find_method(self.flow.method).wants)
        return flow if self.rgb is None else BothViews(flow)


@dataclass(frozen=True)
class DevicePlan:
    """What one device process needs to know. ``batch_size`` None: chosen for what is computed and where."""

    recipe: Recipe
    geometry: Geometry
    sampling: Sampling
    workers: int
    threads: int
    batch_size: int | None = None
    decode_threads: int = 1
    timeout: float | None = None

    @property
    def decoding(self) -> DecodeOptions:
        """How items are read."""
        return DecodeOptions(self.sampling, self.recipe.view(self.geometry), self.decode_threads, self.timeout)
