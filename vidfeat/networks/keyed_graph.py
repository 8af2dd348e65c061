"""Puts dropout by keys into the graph of a network."""

from torch import fx, nn
from torchvision.ops import StochasticDepth

from vidfeat.errors import UsageError
from vidfeat.networks.keyed import KeyedDropout

# Class -> how many axes after the first have masks of their own.
DROPOUTS: dict[type[nn.Module], int | None] = {nn.Dropout: None, nn.Dropout2d: 1, StochasticDepth: 0}


def with_keys(module: nn.Module, graph: fx.Graph, dropout: float | None = None) -> fx.GraphModule:
    """The network of ``graph`` with a second argument, the frames' keys, which goes to all its dropout layers.

    Args:
        module: owner of what the graph calls.
        graph: changed; its dropout layers are replaced, each call by a module of its own.
        dropout: probability for those that drop elements or maps, instead of their own.
    """
    if dropout is not None and not 0.0 <= dropout < 1.0:
        raise UsageError(f"dropout={dropout} is not allowed: it is a probability, 0 ≤ p < 1 (0 switches it off).")
    frames = next(node for node in graph.nodes if node.op == "placeholder")
    with graph.inserting_after(frames):
        keys = graph.placeholder("keys", default_value=None)
    for number, node in enumerate([node for node in graph.nodes if node.op == "call_module"]):
        old = module.get_submodule(node.target)
        kind = next((kind for kind in DROPOUTS if isinstance(old, kind)), None)
        if kind is None:
            continue
        p = old.p if dropout is None or kind is StochasticDepth else dropout
        name = f"keyed_dropout_{number}"
        module.add_module(name, KeyedDropout(p, node.target + "#" + node.name, DROPOUTS[kind]))
        node.target, node.args, node.kwargs = name, (node.all_input_nodes[0], keys), {}
    return fx.GraphModule(module, graph)
