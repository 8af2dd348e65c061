"""Turns a traced network into one that computes the asked nodes, and nothing else, fast."""

from dataclasses import dataclass

import torch
from torch import fx, nn

from vidfeat.features.pointwise import (
    FUSED_ACTIVATIONS,
    Folded,
    PointwiseConv,
    PointwiseLinear,
    fold,
    fused_kernels,
    pack,
    plain_conv,
)
from vidfeat.features.tracing import ADD, Trace, cut


@dataclass(frozen=True)
class _Step:
    """The value of one node as a single call: the layer, its norm, a summand, an activation function."""

    end: fx.Node
    layer: fx.Node
    norm: fx.Node | None = None
    other: fx.Node | None = None
    activation: type[nn.Module] | None = None


def fast_network(traced: Trace, outputs: list[fx.Node], device: torch.device, precision: torch.dtype) -> fx.GraphModule:
    """A network that maps normalised images to the values of ``outputs``, a tuple.

    Which operations share a kernel is decided on the whole network, whatever is asked. An inner node of such a group
    that is asked for is computed once more, on its own: a layer's values do not depend on which others are asked too.

    ``traced`` is used up: what a fused layer needs is repacked layer by layer, and its own values are released.
    """
    fused = device.type == "cpu" and fused_kernels(precision)
    steps: dict[str, _Step] = {}
    replaced: dict[fx.Node, fx.Node] = {}
    for group in _groups(traced, fused):
        for step in group:
            if step is group[-1] or step.end in outputs:
                target = f"fused_{len(steps)}"
                steps[target] = step
                arguments = (step.layer.args[0],) if step.other is None else (step.layer.args[0], step.other)
                with traced.graph.inserting_after(step.end):
                    replaced[step.end] = traced.graph.create_node("call_module", target, arguments)
    for old, new in replaced.items():
        old.replace_all_uses_with(new)
    graph = cut(traced.graph, [replaced.get(node, node) for node in outputs])

    alive = {node.target for node in graph.nodes}
    by_layer: dict[str, dict[str, _Step]] = {}
    for target, step in steps.items():
        if target in alive:
            by_layer.setdefault(step.layer.target, {})[target] = step
    for layer, wanted in by_layer.items():
        _build(traced, layer, wanted, fused, precision)
    network = fx.GraphModule(traced.module, graph).to(device=device, dtype=precision, memory_format=torch.channels_last)
    if device.type == "cpu":
        for value in [*network.parameters(), *network.buffers()]:
            # Away from the memory-mapped weights file, which somebody may replace during the run.
            value.data = value.data.clone(memory_format=torch.preserve_format)
    return network


def _build(traced: Trace, layer: str, wanted: dict[str, _Step], fused: bool, precision: torch.dtype) -> None:
    """Add the modules that stand for a layer's steps, and release the layer's own values."""
    module = traced.module.get_submodule(layer)
    packed: dict[fx.Node | None, Folded] = {}
    for target, step in wanted.items():
        if step.norm not in packed:
            folded = fold(module, None if step.norm is None else traced.called(step.norm))
            packed[step.norm] = pack(module, folded, precision) if fused else folded
        values = packed[step.norm]
        if not fused:
            made = plain_conv(module, values)
        elif isinstance(module, nn.Conv2d):
            made = PointwiseConv(module, values, step.activation)
        else:
            made = PointwiseLinear(values, step.activation)
        traced.module.add_module(target, made)
    module.weight, module.bias = None, None


def _groups(traced: Trace, fused: bool) -> list[list[_Step]]:
    """For each convolution or linear layer, the values along its group, the layer's own first."""
    calls: dict[str, int] = {}
    for node in traced.graph.nodes:
        if node.op == "call_module":
            calls[node.target] = calls.get(node.target, 0) + 1
    groups, taken = [], set()
    for node in traced.graph.nodes:
        module = traced.called(node)
        if type(module) not in (nn.Conv2d, nn.Linear) or calls[node.target] > 1 or not _regular(module):
            continue
        steps = [_Step(node, node)]
        following = _only_user(node)
        if type(module) is nn.Conv2d and following is not None and type(traced.called(following)) is nn.BatchNorm2d:
            steps.append(_Step(following, node, norm=following))
            following = _only_user(following)
        if fused and following is not None:
            last = steps[-1]
            other = _summand(following, last.end) if type(module) is nn.Conv2d else None
            # Of two convolutions that are summed, the first takes the other's result as its summand.
            if other is not None and following not in taken:
                taken.add(following)
                last = _Step(following, node, last.norm, other)
                steps.append(last)
                following = _only_user(following)
            activation = traced.activation(following) if following is not None else None
            # oneDNN sums only before a ReLU.
            if activation is nn.ReLU or (activation in FUSED_ACTIVATIONS and last.other is None):
                steps.append(_Step(following, node, last.norm, last.other, activation))
        if fused or len(steps) > 1:
            groups.append(steps)
    return groups


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _summand(node: fx.Node, value: fx.Node) -> fx.Node | None:
    """What ``node`` adds to ``value``, if it adds another node's value and nothing else."""
    if node.target not in ADD or node.kwargs or len(node.args) != 2:
        return None
    others = [argument for argument in node.args if argument is not value]
    return others[0] if len(others) == 1 and isinstance(others[0], fx.Node) else None


def _regular(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or (module.padding_mode == "zeros" and not isinstance(module.padding, str))
