"""The networks and flow methods of a run, built on one device."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vidfeat.errors import ItemError, UsageError
from vidfeat.flow.levels import quantise, to_float16
from vidfeat.flow.methods import find_method, flow_method
from vidfeat.flow.tvl1_flow import BACKENDS, choose_backend
from vidfeat.precision import check_device
from vidfeat.stages.flow_request import said_as_flags
from vidfeat.stages.recipe import FlowRecipe, Recipe

if TYPE_CHECKING:
    from vidfeat.features import Extractor

# Pixels of the pairs in one call. On a CPU every core has a call of its own, and few pairs keep all of them busy until
# the end; a GPU wants many.
_PIXELS = {"cpu": 1 << 18, "cuda": 1 << 23}
_MOST_PAIRS = {"cpu": 32, "cuda": 512}

# Methods that take one call at a time, and share the cores inside of it.
_SERIAL = ("raft",)


class Computers:
    """What a recipe asks for, ready to compute; ``None`` where it asks for nothing.

    Attributes:
        device: that was asked for.
        rgb: network that sees the frames.
        flow: fields of flow.
        flow_network: network that sees the flow.
        encoders: feature -> dataset -> encoder of what is kept only as a code.
    """

    def __init__(self, recipe: Recipe, device: str, threads: int) -> None:
        self.device = device = str(check_device(device))
        self.rgb = _network(recipe.rgb, device)
        self.flow = FlowComputer(recipe.flow, device, threads) if recipe.flow is not None else None
        self.flow_network = _network(recipe.flow_network, device)
        self.encoders = _encoders(recipe.codebooks, device)

    @property
    def networks(self) -> "list[Extractor]":
        return [network for network in (self.rgb, self.flow_network) if network is not None]

    def describe(self) -> str:
        """``cpu``, or ``cuda:1 (NAME)`` with the name of that GPU, and where flow is computed if that is elsewhere."""
        text = describe_device(self.device)
        return f"{text}, flow on cpu" if self.flow and self.flow.device != self.device else text


def _network(arguments: Mapping[str, Any] | None, device: str) -> "Extractor | None":
    if arguments is None:
        return None
    from vidfeat.features import Extractor  # torchvision takes seconds to import, and fields do without

    return Extractor(**arguments, device=device)


def _encoders(codebooks: Sequence[str], device: str) -> dict[str, dict[str, Any]]:
    if not codebooks:
        return {}
    from vidfeat.stages.books import coded_features  # encoders take their time to import

    return coded_features(codebooks, device)[0]


class FlowComputer:
    """Pieces of consecutive frames to their fields, in the type that is wanted.

    Attributes:
        device: that the method computes on: a CPU if it knows no other.
        lanes: calls that go on side by side.
        one_core: each of these calls takes one core of the CPU.
    """

    def __init__(self, recipe: FlowRecipe, device: str, threads: int) -> None:
        self._recipe = recipe
        self.device = place_of(recipe, device)
        on_cpu = self.device == "cpu"
        self.one_core = on_cpu and recipe.method not in _SERIAL
        self.lanes = threads if self.one_core else 1 if on_cpu else 2  # on a GPU one computes while the other copies
        inside = 1 if self.one_core else threads if on_cpu else None
        with said_as_flags(recipe.method):
            self.method = flow_method(recipe.method, self.device, threads=inside, **recipe.settings)

    @property
    def joins(self) -> bool:
        """Whether frames of several items go into one call. The fields from one item to the next are thrown away."""
        return self.device != "cpu"

    def pairs(self, shape: tuple[int, ...]) -> int:
        """Pairs of pictures of a shape for one call."""
        kind = self.device.partition(":")[0]
        return min(_MOST_PAIRS[kind], max(1, _PIXELS[kind] // (shape[0] * shape[1])))

    def __call__(self, pieces: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray | ItemError]:
        """For every piece [pairs, 2, H, W], or why there are none.

        Raises:
            ItemError: the method cannot take pictures of this size.
        """
        fields = self.method(np.stack([picture for piece in pieces for picture in piece]))
        outcomes: list[np.ndarray | ItemError] = []
        first = 0
        for piece in pieces:
            outcomes.append(self._stored(fields[first : first + len(piece) - 1]))
            first += len(piece)
        return outcomes

    def _stored(self, fields: np.ndarray) -> np.ndarray | ItemError:
        try:
            if self._recipe.dtype == "uint8":
                return quantise(fields, self._recipe.bound)
            return to_float16(fields) if self._recipe.dtype == "float16" else fields
        except UsageError as error:  # not finite, or too long for float16
            return ItemError(str(error))


def computes_on(recipe: FlowRecipe, device: str) -> bool:
    """Whether the flow method, with the backend that was asked for, computes on a device of this kind."""
    kind, backend = device.partition(":")[0], recipe.settings.get("backend")
    if backend is not None:
        return BACKENDS[backend].device == kind
    return kind in find_method(recipe.method).devices


def place_of(recipe: FlowRecipe, device: str) -> str:
    """The device that the flow is computed on: the CPU where the method knows no other.

    UsageError for a backend that computes on neither.
    """
    place, backend = device if computes_on(recipe, device) else "cpu", recipe.settings.get("backend")
    if backend is not None:
        with said_as_flags(recipe.method):
            choose_backend(place, backend)
    return place


def describe_device(name: str) -> str:
    """``cpu``, or ``cuda:1 (NAME)`` with the name of that GPU."""
    return f"{name} ({torch.cuda.get_device_name(name)})" if name.startswith("cuda") else name
