"""Options of the network of ``vidfeat end2end train``: streams, network of frames, pooling, loss."""

from dataclasses import dataclass
from typing import Any, Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.flow import FlowOptions
from vidfeat.stages.config.options import check_positive, flag_of, option

NETWORK = "Network of frames"
POOL = "Pooling and classifier"
_STREAMS = "Streams"

SMALL = "small"

# Pooling -> option -> the name that its layer has for it. An option of only some poolings is refused with the others.
_RANK = {"C": "C", "rank_epsilon": "epsilon", "gradient": "gradient", "map": "map", "direction": "direction"}
OPTIONS_OF: dict[str, dict[str, str]] = {
    "rankpool": _RANK,
    "avg": {},
    "max": {},
    "pyramid": {"levels": "levels", "merge": "merge", "node": "node", "pyramid_width": "width", "pyramids": "pyramids"},
    "frame": {"consensus": "consensus"},
    "spectrogram": {"picture_size": "size"},
}
# Those of rank pooling that nodes of a pyramid have too.
_OF_NODES = ("C", "rank_epsilon", "gradient")


@dataclass(frozen=True)
class VideoNetworkOptions(FlowOptions):
    """What is trained. Options of a pooling are None where they were not given: its layer has its own defaults."""

    backbone: str = option(
        "alexnet",
        "Torchvision classification network, such as alexnet or resnet50, or small: four blocks of convolution for "
        "sets too small to train more, without pretrained weights.",
        panel=NETWORK,
    )
    layer: str | None = option(
        None,
        "Layer whose values are a frame's vector, as 'vidfeat layers' lists them; maps are averaged over positions. By "
        "default what the last linear layer takes, fc7 of AlexNet.",
        panel=NETWORK,
    )
    weights: str = option(
        "DEFAULT",
        "Where training begins: torchvision weights (DEFAULT, IMAGENET1K_V1, …), a .pth or .safetensors file, or none "
        "(seeded random values, the only choice of small).",
        panel=NETWORK,
    )
    dim: int | None = option(None, "Length of the frame vectors of small. By default 128.", panel=NETWORK)
    network_dropout: float | None = option(
        None, "Probability of all dropout layers of the network instead of its own.", panel=NETWORK
    )
    size: int | None = option(
        None, "Side of the network's square input. By default the weights' own; 64 of small.", panel=NETWORK
    )
    warp: bool = option(
        False, "Resize whole frames to squares, ignoring their aspect, instead of cropping the centre.", panel=NETWORK
    )

    stream: Literal["rgb", "flow", "rgb,flow"] = option(
        "rgb",
        "What the network sees: frames, stacks of their optical flow (20 channels for 10 fields), or both, each "
        "through a network of its own, with learnt weights of their scores.",
        panel=_STREAMS,
    )
    flow_weights: str | None = option(
        None,
        "Weights of the network that sees flow, if they are others than --weights. The first layer of an RGB network "
        "is averaged over R, G, B; a file whose first layer takes flow already is used as it is.",
        panel=_STREAMS,
    )
    flow_stack: int = option(10, "Fields in a stack. Stack k begins at frame k and looks ahead.", panel=_STREAMS)
    flow_stride: int = option(1, "Fields from the beginning of one stack to the next.", panel=_STREAMS)

    pool: Literal["rankpool", "avg", "max", "pyramid", "frame", "spectrogram"] = option(
        "rankpool",
        "From frame vectors to one vector per video. rankpool: how frames follow one another, solved to the optimum in "
        "every step. avg, max. pyramid: means of ever finer parts of the video, with learnt weights. frame: none, "
        "every frame is classified and scores are averaged. spectrogram: the vectors side by side as a picture, seen "
        "by a ResNet-18.",
        panel=POOL,
    )
    gradient: Literal["exact", "diag"] | None = option(
        None,
        "rankpool: gradient through the optimum. exact (default), or diag: the diagonal approximation of the Hessian "
        "that the literature used for speed.",
        panel=POOL,
    )
    C: float | None = option(None, "rankpool: weight of the errors in the order of frames. By default 2.", panel=POOL)
    rank_epsilon: float | None = option(None, "rankpool: error that costs nothing. By default 0.1.", panel=POOL)
    map: Literal["none", "ssr", "posneg"] | None = option(
        None, "rankpool: map of the smoothed vectors: none (default), signed square root, or both signs apart.",
        panel=POOL,
    )  # fmt: skip
    direction: Literal["forward", "reverse", "both"] | None = option(
        None, "rankpool: order of the frames. By default forward.", panel=POOL
    )
    levels: int | None = option(None, "pyramid: 1 to 6; level l has 2^(l-1) parts. By default 4.", panel=POOL)
    merge: Literal["concat", "average"] | None = option(
        None, "pyramid: parts side by side (concat, default), or their weighted mean.", panel=POOL
    )
    node: Literal["mean", "max", "rankpool"] | None = option(
        None, "pyramid: what a part is: mean of its frames (default), maximum, or their rank pooling.", panel=POOL
    )
    pyramid_width: int | None = option(
        None, "pyramid: numbers that a learnt map leaves of a frame vector; 0 = no map. By default 128.", panel=POOL
    )
    pyramids: int | None = option(None, "pyramid: how many, each with weights of its own. By default 1.", panel=POOL)
    consensus: Literal["frames", "scores"] | None = option(
        None,
        "frame: every frame is trained with its video's label (frames, default), or the mean score of the video is.",
        panel=POOL,
    )
    picture_size: int | None = option(None, "spectrogram: side of the picture. By default 224.", panel=POOL)
    dropout: float = option(0.0, "Probability of dropout before the classifier.", panel=POOL)
    loss: Literal["ce", "hinge"] = option(
        "ce",
        "ce: cross-entropy, one label per video. hinge: one-vs-rest with margin 1, any number of labels per video.",
        panel=POOL,
    )
    class_weights: Literal["none", "balanced"] = option(
        "none", "balanced: errors weigh as much as their class has few training videos.", panel=POOL
    )

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(self.stream.split(","))

    @property
    def pool_settings(self) -> dict[str, Any]:
        """What was given of the settings of the chosen pooling, by its layer's own names for them."""
        allowed = {**OPTIONS_OF[self.pool]}
        if self.pool == "pyramid" and self.node == "rankpool":
            allowed |= {name: _RANK[name] for name in _OF_NODES}
        return {name: getattr(self, field) for field, name in allowed.items() if getattr(self, field) is not None}

    def check_network(self) -> None:
        """UsageError for numbers that cannot be, and options without effect."""
        check_positive(self, "size", "dim", "flow_stack", "flow_stride", "C", "picture_size")
        for pool, names in OPTIONS_OF.items():
            for field in names:
                of_nodes = self.pool == "pyramid" and self.node == "rankpool" and field in _OF_NODES
                if pool != self.pool and not of_nodes and field not in OPTIONS_OF[self.pool]:
                    self._refuse(field, f"--pool {self.pool}", f"with --pool {pool}")
        if self.backbone != SMALL:
            self._refuse("dim", f"--backbone {self.backbone}", "with --backbone small")
        else:
            self._refuse("layer", "--backbone small", "with networks of torchvision")
        if "flow" in self.streams:
            self.check_flow()
            return
        if given := self.given_flow_option():
            raise UsageError(f"{given} has no effect with --stream {self.stream}. Leave it out, or change --stream.")
        for field in ("flow_weights", "flow_stack", "flow_stride"):
            self._refuse(field, f"--stream {self.stream}", "with flow or rgb,flow")

    def _refuse(self, field: str, here: str, there: str) -> None:
        """UsageError if the option was given, as it has no effect here."""
        if getattr(self, field) != type(self).__dataclass_fields__[field].default:
            raise UsageError(
                f"{flag_of(field)} {getattr(self, field)} has no effect with {here}, only {there}. Leave it out, on "
                "the command line or in the --config file."
            )
