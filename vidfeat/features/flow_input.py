"""Networks that see optical flow instead of RGB: their first layer, and the scale of what they are given.

Pixels are quantised flow, 0…255 with zero flow at 127.5. They become (p/255 − ½)/std, so that zero flow is zero, which
is also what convolutions pad with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import fx, nn

from vidfeat.errors import UsageError
from vidfeat.features.tracing import Trace
from vidfeat.flow.images import inflate_conv1

ZERO = 0.5  # zero flow, of values 0…1


@dataclass(frozen=True)
class FlowInput:
    """What a network sees in the place of RGB.

    Attributes:
        kind: ``stack``: channels x1, y1, x2, y2, … of ``length`` consecutive fields; the first layer's weights are the
            mean over R, G, B for each of them. ``image``: the two channels of one field in the places of R and G, and
            nothing in that of B. That is a flow image whose third channel is zero after subtraction of its mean, as it
            adds nothing to any sum of the first layer.
        length: fields.

    Sources: L. Wang et al., *Temporal Segment Networks*, 2016 (stack); J. Y.-H. Ng et al., *Beyond Short Snippets: Deep
    Networks for Video Classification*, 2015 (image).
    """

    kind: Literal["stack", "image"] = "stack"
    length: int = 10

    @property
    def channels(self) -> int:
        return 2 * self.length if self.kind == "stack" else 2

    def deviations(self, rgb: Sequence[float]) -> list[float]:
        """What every channel is divided by, from the deviations of R, G, B that the weights were trained with."""
        return [sum(rgb) / len(rgb)] * self.channels if self.kind == "stack" else list(rgb[:2])

    def identity(self) -> dict[str, Any]:
        """For a fingerprint."""
        return {"kind": self.kind, "length": self.length} if self.kind == "stack" else {"kind": self.kind}

    def first_weight(self, weight: torch.Tensor) -> torch.Tensor:
        """Values of the first layer ``[O, C, k, k]`` from those of an RGB network; those of a flow network stay."""
        if weight.ndim != 4 or weight.shape[1] != 3 or self.channels == 3:
            return weight
        return inflate_conv1(weight, self.channels) if self.kind == "stack" else weight[:, :2]


def widen_first(traced: Trace, flow: FlowInput) -> str:
    """Make the layer that takes the picture take flow; its name. The weight, as yet without values, changes its shape.

    Raises:
        UsageError: the network has not one convolution there.
    """
    convolutions = {node.target for node in _first(traced) if type(traced.called(node)) is nn.Conv2d}
    if len(convolutions) != 1 or traced.module.get_submodule(next(iter(convolutions))).groups != 1:
        raise UsageError(
            "the network does not begin with one convolution of the picture, so it cannot take flow; choose another "
            "backbone, such as resnet50."
        )
    (name,) = convolutions
    conv = traced.module.get_submodule(name)
    shape = (conv.weight.shape[0], flow.channels, *conv.weight.shape[2:])
    conv.in_channels = flow.channels
    conv.weight = nn.Parameter(torch.empty(shape, dtype=conv.weight.dtype, device="meta"), requires_grad=False)
    return name


def _first(traced: Trace) -> list[fx.Node]:
    """The nodes that take the picture's pixels; what only asks for its shape is none."""
    picture = next(node for node in traced.graph.nodes if node.op == "placeholder")
    return [node for node in picture.users if node.op == "call_module"]
