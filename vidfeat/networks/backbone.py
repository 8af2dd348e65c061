"""The network that turns each frame into a vector, made so that it can be trained a few frames at a time."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vidfeat.errors import UsageError
from vidfeat.features.backbones import InputSpec, build, check_backbone, input_spec
from vidfeat.features.flow_input import ZERO, FlowInput, widen_first
from vidfeat.features.listing import BATCH, shapes_at, without_values
from vidfeat.features.naming import Names
from vidfeat.features.tracing import Trace, cut, needed_names, trace
from vidfeat.features.weights import load_weights
from vidfeat.networks.keyed_graph import DROPOUTS, with_keys
from vidfeat.weights.sources import find_weights


class FrameNetwork(nn.Module):
    """x_t = CNN(frame t), for frames of one video or of many, in training or not.

    Batch norms always use, and keep, their running statistics, so that a frame's vector does not depend on the frames
    beside it; their scale and shift are trained. Dropout masks depend on the key of the frame alone.

    Args:
        body: maps (normalised frames, keys) to a tuple of one value per frame.
        dim: D, length of the vectors.
        channels: of the frames: 3, or those of a stack of flow fields.
        input_spec: the frames' size and preprocessing; resizing and cropping are the caller's part.
        mean, std: per channel; uint8 frames p become (p/255 − mean)/std.
        identity: what the network was made from; plain JSON values.
        moved: the value is a map [N, h, w, D] instead of [N, D, h, w].

    Make one with :func:`backbone_network`, :func:`wrap_network` or ``small_network``.
    """

    def __init__(self, body: nn.Module, dim: int, channels: int, input_spec: InputSpec, mean: Sequence[float],
                 std: Sequence[float], identity: dict[str, Any], moved: bool = False):  # fmt: skip
        super().__init__()
        self.body, self.dim, self.channels, self.input_spec = body, dim, channels, input_spec
        self.identity, self._moved = identity, moved
        scale = torch.tensor(list(std), dtype=torch.float32)
        self.register_buffer("scale", 1.0 / (255.0 * scale), persistent=False)
        self.register_buffer("shift", -torch.tensor(list(mean), dtype=torch.float32) / scale, persistent=False)

    def forward(self, frames: Tensor, keys: Tensor | None = None) -> Tensor:
        """Vectors ``[N, D]``.

        Args:
            frames: ``[N, C, h, w]``, uint8 levels, or numbers that are already normalised.
            keys: int64 ``[N]``, see :mod:`vidfeat.networks.keyed`; needed in training where there is dropout.

        Raises:
            UsageError: another number of channels.
        """
        if frames.ndim != 4 or frames.shape[1] != self.channels:
            raise UsageError(f"frames have shape {list(frames.shape)}; this network takes [N, {self.channels}, h, w].")
        if frames.dtype == torch.uint8:
            frames = self._normalised(frames)
        (value,) = self.body(frames.contiguous(memory_format=torch.channels_last), keys)
        if value.ndim == 4:
            return value.mean((1, 2) if self._moved else (2, 3))
        return value.mean(1) if value.ndim == 3 else value

    def train(self, mode: bool = True) -> "FrameNetwork":
        """Dropout on or off; batch norms stay as they are at inference."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def state_for_extract(self) -> dict[str, Tensor]:
        """Parameters and statistics under the names of the network it was made from, on the CPU.

        ``vidfeat extract --weights`` takes a file of them.
        """
        return {name: value.detach().cpu().contiguous() for name, value in self.body.state_dict().items()}

    def _normalised(self, frames: Tensor) -> Tensor:
        """(p/255 − mean)/std, channels-last."""
        rows = frames.permute(0, 2, 3, 1).to(self.scale.dtype)
        return torch.addcmul(self.shift, rows, self.scale).permute(0, 3, 1, 2)


def backbone_network(
    backbone: str,
    layer: str | None = None,
    *,
    weights: str = "DEFAULT",
    seed: int = 0,
    flow: FlowInput | None = None,
    dropout: float | None = None,
    size: int | None = None,
) -> FrameNetwork:
    """A classification network of torchvision up to one of its layers, ready to be trained.

    Args:
        backbone: name of the network.
        layer: as ``vidfeat layers BACKBONE`` lists them; maps and tokens are averaged over positions. By default what
            the last linear layer takes (fc7 of AlexNet and VGG, the average pool of ResNets).
        weights, seed: as for ``extract``: an entry of torchvision, a file, or ``none`` (seeded random values).
        flow: the frames are optical flow of this kind; the first layer's weights are the mean of the RGB ones.
        dropout: probability instead of the network's own, for all its dropout layers before the layer.
        size: side of the input, if not the weights' own.

    Raises:
        UsageError: no such network, layer or weights, or not one value per frame.

    Source of ``flow``: L. Wang et al., *Temporal Segment Networks*, 2016.
    """
    check_backbone(backbone)
    traced = trace(build(backbone), kept=tuple(DROPOUTS))
    first = None if flow is None else widen_first(traced, flow)
    names = Names(backbone, traced)
    if layer is None:
        node, moved, label = *_penultimate(traced, names), "default"
    else:
        found = names.find(layer)
        node, moved, label = found.node, found.channels_last, layer
    source = find_weights(backbone, str(weights), seed)
    spec = input_spec(backbone, source.entry).resized(size)
    channels = 3 if flow is None else flow.channels
    graph = cut(traced.graph, [node])
    shape = shapes_at(backbone, without_values(traced.module, graph, channels), spec.size, spec.size).get(node.name, ())
    dim = _dimension(label, shape, moved)
    adapted = {} if flow is None else {f"{first}.weight": flow.first_weight}
    load_weights(traced, source, needed_names([node]), adapted)
    body = trainable(traced, graph, dropout)
    mean, std = list(spec.mean), list(spec.std)
    if flow is not None:
        mean, std = [ZERO] * channels, flow.deviations(std)
    identity = {"backbone": backbone, "layer": label, "weights": source.identity, "size": spec.size, "dropout": dropout,
                "flow": None if flow is None else flow.identity()}  # fmt: skip
    return FrameNetwork(body, dim, channels, spec, mean, std, identity, moved)


def wrap_network(
    module: nn.Module, spec: InputSpec, channels: int = 3, identity: dict[str, Any] | None = None
) -> FrameNetwork:
    """Any network that maps ``[N, channels, h, w]`` to ``[N, D]`` or maps ``[N, D, h, w]``; it keeps its parameters.

    Raises:
        UsageError: it gives something else.
    """
    traced = trace(module.eval(), kept=tuple(DROPOUTS))
    (node,) = next(node for node in traced.graph.nodes if node.op == "output").all_input_nodes
    graph = cut(traced.graph, [node])
    shape = (
        without_values(copy.deepcopy(module).float(), graph, channels)
        .of(BATCH, spec.size, spec.size)
        .get(node.name, ())
    )
    mean, std = (list(spec.mean), list(spec.std)) if channels == 3 else ([ZERO] * channels, [spec.std[0]] * channels)
    made = {"backbone": type(module).__name__, "size": spec.size, "channels": channels} | (identity or {})
    body = trainable(traced, graph, None)
    # As the module was given: float64 networks are for checks of gradients.
    dtype = next((value.dtype for value in body.parameters()), torch.float32)
    return FrameNetwork(body, _dimension("the network", shape, False), channels, spec, mean, std, made).to(dtype)


def trainable(traced: Trace, graph: fx.Graph, dropout: float | None) -> nn.Module:
    """The traced network with dropout by keys and parameters of its own that take gradients."""
    body = with_keys(traced.module, graph, dropout)
    for value in [*body.parameters(), *body.buffers()]:
        # Away from the memory-mapped weights file, which training must not meet.
        value.data = value.data.clone(memory_format=torch.preserve_format)
    return body.requires_grad_(True)


def _penultimate(traced: Trace, names: Names) -> tuple[fx.Node, bool]:
    """What the last linear layer takes, without dropout; where there is none, the last maps before the classifier."""
    linear = [node for node in traced.graph.nodes if isinstance(traced.called(node), nn.Linear)]
    if not linear:
        found = names.find("features")
        return found.node, found.channels_last
    node = linear[-1].all_input_nodes[0]
    while isinstance(traced.called(node), tuple(DROPOUTS)):
        node = node.all_input_nodes[0]
    return node, False


def _dimension(label: str, shape: tuple[int, ...], moved: bool) -> int:
    if len(shape) not in (2, 3, 4) or shape[0] != BATCH:
        raise UsageError(
            f"{label!r} gives values of shape {list(shape)} for {BATCH} frames; a vector, map or row of tokens for "
            "each frame is needed. Choose another layer."
        )
    return shape[-1] if moved or len(shape) == 3 else shape[1]
