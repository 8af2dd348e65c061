"""Which layers a network offers, and the shape of each."""

import copy
from dataclasses import dataclass

from torch import fx, nn

from vidfeat.errors import UsageError
from vidfeat.features.backbones import build, input_spec
from vidfeat.features.naming import Names, Source
from vidfeat.features.tracing import ShapeRun, trace


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: as it is asked for.
        node: torchvision's name of the graph node whose value it is.
        shape: of one image's value: (D,) for a vector, (C, H, W) for a map, (L, D) for tokens.
        note: a warning where the name means something else elsewhere.
    """

    name: str
    node: str
    shape: tuple[int, ...]
    note: str = ""

    @property
    def is_vector(self) -> bool:
        return len(self.shape) == 1


def layers(backbone: str, *, size: int | None = None, nodes: bool = False) -> list[Layer]:
    """Layers of a network by their usual names, in the order of execution.

    Args:
        backbone: name of a torchvision classification network.
        size: side in pixels of the square input; by default that of the network's default weights.
        nodes: list every node of the graph too (any of them can be asked for by its name).

    Raises:
        UsageError: no such network, or it cannot take images of this size.
    """
    traced = trace(build(backbone))
    names = Names(backbone, traced)
    side = input_spec(backbone).resized(size).size
    shapes = shapes_at(backbone, without_values(traced.module, traced.graph), side, side)
    requests = [*names.friendly, *(list(traced.names)[1:] if nodes else [])]
    listed = []
    for request in dict.fromkeys(requests):
        source = names.find(request)
        shape = shapes.get(source.node.name, ())
        if len(shape) > 1 and shape[0] == BATCH:
            listed.append(Layer(request, source.path, value_shape(source, shape), names.note(request)))
    return listed


# Of two images: a node whose first axis is not 2 long has not one row per image.
BATCH = 2


def without_values(module: nn.Module, graph: fx.Graph, channels: int = 3) -> ShapeRun:
    """A runner that finds shapes; it holds no values, and shares nothing with ``module``."""
    return ShapeRun(fx.GraphModule(copy.deepcopy(module).to("meta"), graph), channels)


def shapes_at(backbone: str, runner: ShapeRun, height: int, width: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a graph's nodes for images of the given size.

    Raises:
        UsageError: the network cannot take such images.
    """
    try:
        return runner.of(BATCH, height, width)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(
            f"{backbone} cannot take images of {width}x{height} pixels ({reason}); its weights expect "
            f"{input_spec(backbone).size}x{input_spec(backbone).size}. Choose another size, or layers nearer to "
            "the input."
        ) from error


def value_shape(source: Source, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of one image's value from that of the node's batch."""
    if source.pooled:
        return shape[1:2]
    if source.channels_last and len(shape) == 4:
        return (shape[3], shape[1], shape[2])
    return shape[1:]
