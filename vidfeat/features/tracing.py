"""The graph of a network, its node names, the part of it that some nodes need, and the shapes it gives."""

import inspect
import math
import operator
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torchvision
from torch import fx, nn
from torch.nn import functional
from torchvision.models.feature_extraction import NodePathTracer

# Containers of torchvision.ops that torchvision's own tracer does not look into. Looking into them exposes their
# convolutions to fusion; their paths still name their last node, so every name of torchvision's tracer stays valid.
_OPENED = ("Conv2dNormActivation", "Conv3dNormActivation", "SqueezeExcitation", "MLP")

# What does nothing at inference.
_IDENTITIES = (
    nn.Identity, nn.Dropout, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, torchvision.ops.StochasticDepth,
)  # fmt: skip

ADD = (operator.add, torch.add)

_ACTIVATION_MODULES = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU)
_ACTIVATION_FUNCTIONS = {
    functional.relu: nn.ReLU,
    torch.relu: nn.ReLU,
    functional.relu6: nn.ReLU6,
    functional.silu: nn.SiLU,
    functional.hardswish: nn.Hardswish,
    functional.gelu: nn.GELU,
}


@dataclass(frozen=True)
class Trace:
    """A traced network.

    Attributes:
        module: owner of the modules and parameters the graph refers to.
        graph: every operation of the eval-mode forward pass; dropout and other identities are left out.
        names: torchvision's node name -> node, in the order of execution; an identity's name leads to its input.
    """

    module: nn.Module
    graph: fx.Graph
    names: dict[str, fx.Node]

    def called(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls, if it calls one."""
        return self.module.get_submodule(node.target) if node.op == "call_module" else None

    def activation(self, node: fx.Node) -> type[nn.Module] | None:
        """Module class of the activation function that a node applies (ReLU and its kin), if it applies one."""
        if node.op == "call_function":
            return _ACTIVATION_FUNCTIONS.get(node.target)
        module = self.called(node)
        return type(module) if isinstance(module, _ACTIVATION_MODULES) else None


def trace(model: nn.Module, kept: tuple[type[nn.Module], ...] = ()) -> Trace:
    """Trace a network of torchvision, with the node names of ``torchvision.models.feature_extraction``.

    Modules of the classes in ``kept`` stay in the graph although they do nothing at inference.
    """
    leaves = [
        member
        for name, member in inspect.getmembers(torchvision.ops, inspect.isclass)
        if issubclass(member, nn.Module) and name not in _OPENED
    ]
    tracer = NodePathTracer(autowrap_modules=(math, torchvision.ops), leaf_modules=leaves)
    graph = tracer.trace(model)
    names = {name: node for node, name in tracer.node_to_qualname.items() if node.op != "output"}
    for node in list(graph.nodes):
        if node.op == "call_function" and node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
        elif node.op == "call_module" and _is_identity(model.get_submodule(node.target), kept):
            source = node.args[0]
            node.replace_all_uses_with(source)
            names = {name: source if found is node else found for name, found in names.items()}
            graph.erase_node(node)
    return Trace(model, graph, names)


def _is_identity(module: nn.Module, kept: tuple[type[nn.Module], ...]) -> bool:
    return isinstance(module, _IDENTITIES) and not isinstance(module, kept)


def needed(outputs: Iterable[fx.Node]) -> set[fx.Node]:
    """The nodes that must run to give ``outputs``, themselves included."""
    alive: set[fx.Node] = set()
    waiting = list(outputs)
    while waiting:
        node = waiting.pop()
        if node not in alive:
            alive.add(node)
            waiting.extend(node.all_input_nodes)
    return alive


def needed_names(outputs: Iterable[fx.Node]) -> set[str]:
    """Paths of the modules and parameters that ``outputs`` depend on."""
    return {node.target for node in needed(outputs) if node.op in ("call_module", "get_attr")}


def cut(graph: fx.Graph, outputs: list[fx.Node]) -> fx.Graph:
    """A copy of ``graph`` that computes ``outputs``, as a tuple, and nothing else. Nodes keep their names."""
    alive = needed(outputs)
    copy = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        # The input stays, so that the copy takes one argument whatever is asked.
        if node in alive or node.op == "placeholder":
            copies[node] = copy.node_copy(node, copies.__getitem__)
    copy.output(tuple(copies[node] for node in outputs))
    return copy


class ShapeRun(fx.Interpreter):
    """Shapes of all nodes of a network on the meta device: nothing is computed."""

    def __init__(self, network: fx.GraphModule, channels: int = 3):
        super().__init__(network)
        self.channels = channels
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._one_at_a_time = threading.Lock()  # an interpreter has one set of values, and batches come from threads

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            self.shapes[n.name] = tuple(value.shape)
        return value

    def of(self, batch: int, height: int, width: int) -> dict[str, tuple[int, ...]]:
        """Node name (of fx) -> shape, for a batch of images.

        Raises whatever torch raises if the network cannot take such an image.
        """
        with self._one_at_a_time, torch.no_grad():
            self.shapes = {}
            self.run(torch.empty(batch, self.channels, height, width, device="meta"))
            return self.shapes
