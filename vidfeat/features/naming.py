"""What a layer name of the field means in torchvision's networks."""

import difflib
from dataclasses import dataclass

from torch import fx, nn
from torch.nn import functional

from vidfeat.errors import UsageError
from vidfeat.features.tracing import Trace

BEFORE = ":pre"

# The first convolution group of the GoogLeNet paper is named differently in torchvision, and in this study.
_NOTES = {
    ("googlenet", "conv2"): "1x1 reduction only; 'conv2' of Szegedy et al. 2015 (28x28x192) is pool2",
    ("googlenet", "conv3"): "56x56x192; after pooling it is pool2",
    ("googlenet", "pool2"): "conv2 of Szegedy et al. 2015: conv3 and its pooling, 28x28x192",
}


@dataclass(frozen=True)
class Source:
    """Where a layer's values come from.

    Attributes:
        name: the layer as it was asked for.
        path: torchvision's name of the graph node.
        node: the node.
        pooled: the node pools each map to one number: [N, C, 1, 1] is given as the vector [N, C].
        channels_last: the node's maps are [N, H, W, C]; they are given as [N, C, H, W].
    """

    name: str
    path: str
    node: fx.Node
    pooled: bool
    channels_last: bool


class Names:
    """Layer names of one traced network."""

    def __init__(self, backbone: str, traced: Trace):
        self.backbone = backbone
        self.trace = traced
        self.friendly = _friendly(backbone, traced)
        self._moved = _channels_last(traced)

    def note(self, name: str) -> str:
        """A warning about a name that means something else elsewhere, or nothing."""
        return _NOTES.get((self.backbone, name), "")

    def find(self, request: str) -> Source:
        """Resolve a layer name.

        A friendly name is tried first, then a node of torchvision's graph, then a module's path, which means its last
        node. Friendly names give the value after the activation function that follows the layer, if one does;
        ``:pre`` gives the value before it.

        Raises:
            UsageError: no such layer, or ``:pre`` where no activation function follows.
        """
        name = request.removesuffix(BEFORE)
        path = self.friendly.get(name) or self._path(name)
        if path is None:
            raise UsageError(self._unknown(request, name))
        node = self.trace.names[path]
        if request != name:
            if self.trace.activation(node) is None:
                raise UsageError(
                    f"{request!r}: {self.backbone}'s {name} ({path}) does not end in a ReLU or another activation "
                    f"function, so nothing lies before it; ask for {name!r}."
                )
            node = node.all_input_nodes[0]
            path = next(known for known, found in self.trace.names.items() if found is node)
        return Source(request, path, node, self._pooled(node), node in self._moved)

    def _path(self, name: str) -> str | None:
        names = self.trace.names
        if name in names and name != next(iter(names)):
            return name
        inside = [path for path in names if path.startswith(name + ".")] if name else []
        return inside[-1] if inside else None

    def _unknown(self, request: str, name: str) -> str:
        modules = [path for path, _ in self.trace.module.named_modules() if path]
        close = difflib.get_close_matches(name, self.friendly, n=6, cutoff=0.5)
        others = [path for path in dict.fromkeys([*modules, *self.trace.names]) if path not in self.friendly]
        close += difflib.get_close_matches(name, others, n=2, cutoff=0.7)
        close = close or list(self.friendly)[-4:]
        return (
            f"{self.backbone} has no layer {request!r}. Close: {', '.join(close)}. "
            f"'vidfeat layers {self.backbone}' lists all names."
        )

    def _pooled(self, node: fx.Node) -> bool:
        module = self.trace.called(node)
        if isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
            return module.output_size in (1, (1, 1))
        if node.target in (functional.adaptive_avg_pool2d, functional.adaptive_max_pool2d):
            size = node.args[1] if len(node.args) > 1 else node.kwargs.get("output_size")
            return size in (1, (1, 1), [1, 1])
        return False


def _friendly(backbone: str, traced: Trace) -> dict[str, str]:
    """Friendly name -> node path, in the order of execution."""
    if backbone == "alexnet":
        named = _sequential(traced, by_block=False)
    elif backbone.startswith("vgg"):
        named = _sequential(traced, by_block=True)
    elif backbone == "googlenet":
        named = _googlenet(traced)
    elif backbone.startswith(("resnet", "resnext", "wide_resnet")):
        named = {"conv1": "relu", "pool1": "maxpool"}
        for layer in ("layer1", "layer2", "layer3", "layer4"):
            named[layer] = _last(traced, layer)
    else:
        named = _modules(traced)
    return named | _ends(traced, named)


def _sequential(traced: Trace, by_block: bool) -> dict[str, str]:
    """AlexNet and VGG: ``convB_I`` (or ``convI``), ``poolB``, then ``fcI``, each after the ReLU that follows it."""
    named: dict[str, str] = {}
    block, inside, count = 1, 0, 0
    for path, node in traced.names.items():
        module = traced.called(node)
        if isinstance(module, nn.Conv2d):
            inside, count = inside + 1, count + 1
            named[f"conv{block}_{inside}" if by_block else f"conv{count}"] = _after(traced, path)
        elif isinstance(module, nn.MaxPool2d):
            named[f"pool{block if by_block else count}"] = path
            block, inside = block + 1, 0
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            named["avgpool"] = path
            count = 5  # fully connected layers are fc6, fc7, fc8 in AlexNet and, by its example, in every VGG
        elif isinstance(module, nn.Linear):
            count += 1
            named[f"fc{count}"] = _after(traced, path)
    return named


def _googlenet(traced: Trace) -> dict[str, str]:
    named = {}
    for module in ("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3",
                   "inception4a", "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4",
                   "inception5a", "inception5b"):  # fmt: skip
        name = module.replace("inception", "inception_").replace("maxpool", "pool")
        named[name] = _last(traced, module)
    return named


def _modules(traced: Trace) -> dict[str, str]:
    """Other networks: the children of the root, and the children of those that are long sequences of stages."""
    named: dict[str, str] = {}
    for path, module in traced.module.named_children():
        stages = [f"{path}.{child}" for child, _ in module.named_children()]
        for candidate in [*(stages if len(stages) > 2 else []), path]:
            if any(name == candidate or name.startswith(candidate + ".") for name in traced.names):
                named[candidate] = _last(traced, candidate)
    order = {path: position for position, path in enumerate(traced.names)}
    return dict(sorted(named.items(), key=lambda item: order[item[1]]))


def _ends(traced: Trace, named: dict[str, str]) -> dict[str, str]:
    """``avgpool`` and ``fc`` where a network has them under another name, or as a function."""
    ends: dict[str, str] = {}
    linear = [path for path, node in traced.names.items() if isinstance(traced.called(node), nn.Linear)]
    for path, node in traced.names.items():
        averages = (
            isinstance(traced.called(node), nn.AdaptiveAvgPool2d) or node.target is functional.adaptive_avg_pool2d
        )
        if averages or (node.op == "call_method" and node.target == "mean"):
            ends["avgpool"] = path
    if linear and "fc8" not in named:
        ends["fc"] = linear[-1]
    return {name: path for name, path in ends.items() if name not in named}


def _last(traced: Trace, path: str) -> str:
    return [name for name in traced.names if name == path or name.startswith(path + ".")][-1]


def _after(traced: Trace, path: str) -> str:
    """The activation function that directly follows a convolution or linear layer and its norm; else the layer."""
    paths = {node: name for name, node in reversed(traced.names.items())}
    node = traced.names[path]
    while len(node.users) == 1:
        node = next(iter(node.users))
        if traced.activation(node) is not None:
            return paths[node]
        if not isinstance(traced.called(node), nn.BatchNorm2d):
            break
    return path


def _channels_last(traced: Trace) -> set[fx.Node]:
    """The nodes that lie between a permutation to [N, H, W, C] and the one back."""
    moved: set[fx.Node] = set()
    for node in traced.graph.nodes:
        dims = _permutation(traced, node)
        if dims == (0, 2, 3, 1) or (dims is None and not moved.isdisjoint(node.all_input_nodes)):
            moved.add(node)
    return moved


def _permutation(traced: Trace, node: fx.Node) -> tuple[int, ...] | None:
    module = traced.called(node)
    if module is not None:
        dims = getattr(module, "dims", None)
        return tuple(dims) if dims is not None else None
    if node.op == "call_method" and node.target == "permute":
        return tuple(node.args[1:])
    return None
