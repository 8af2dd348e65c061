"""Options of ``vidfeat extract``."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.flow import FlowOptions
from vidfeat.stages.config.frames import FramesConfig
from vidfeat.stages.config.options import check_positive, option, required_option
from vidfeat.stages.config.running import RunOptions

PIXELS = "Pixels"
NETWORK = "Network"
STREAMS = "Streams"

_FLOW_ONLY = ("flow_input", "flow_stack", "flow_stride", "flow_weights")


@dataclass(frozen=True)
class NetworkOptions:
    """Which network computes what, from which pixels."""

    backbone: str = option(
        "alexnet", "Any torchvision classification network, e.g. alexnet, vgg16, resnet50.", panel=NETWORK
    )
    layers: str = option(
        "fc7",
        "Comma-separated layers, e.g. fc7,conv5,conv5:pre (before the ReLU). 'vidfeat layers BACKBONE' lists them.",
        panel=NETWORK,
    )
    weights: str = option(
        "DEFAULT",
        "Torchvision weights (DEFAULT, IMAGENET1K_V1, …), a .pth or .safetensors file, or none (seeded random values).",
        panel=NETWORK,
    )
    seed: int = option(0, "Seed of the values drawn by --weights none.", panel=NETWORK)
    map_pool: Literal["avg", "max"] | None = option(
        None, "Pool every conv map over space, so that it becomes a vector per frame.", panel=NETWORK
    )
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = option(
        "fp32", "Arithmetic of the network; tf32 and fp16 need a GPU.", panel=NETWORK
    )
    dtype: Literal["float32", "float16"] | None = option(
        None, "Stored type. By default float32 for vectors and float16 for maps.", panel=NETWORK
    )

    size: int | None = option(None, "Side of the network's square input. By default the weights' own.", panel=PIXELS)
    shorter_side: int | None = option(
        None,
        "Length to which the shorter side is resized before the centre crop. By default the weights' own.",
        panel=PIXELS,
    )
    input_scales: str = option(
        "1",
        "Comma-separated sizes of the input as multiples of its own, in one pass: with 1,2 also twice the side, whose "
        "layers are stored as LAYER@SIZE, e.g. conv5@448.",
        panel=PIXELS,
        metavar="NUMBER[,NUMBER…]",
    )
    warp: bool = option(
        False, "Resize the whole frame to a square, ignoring its aspect, instead of cropping.", panel=PIXELS
    )
    no_resize: bool = option(False, "Feed frames at their own size (maps only).", panel=PIXELS)
    ten_crop: bool = option(False, "Four corners and centre, each mirrored too: ten vectors per frame.", panel=PIXELS)

    stream: Literal["rgb", "flow", "rgb,flow"] = option(
        "rgb",
        "What the network sees: the frames, their optical flow (layers are stored as flow.LAYER), or both, decoded "
        "once. Frames are resized before the flow is computed, and flow is cropped after.",
        panel=STREAMS,
    )
    flow_input: Literal["stack", "image"] = option(
        "stack",
        "stack: fields of consecutive frames, x1, y1, x2, y2, …, through a first layer whose weights are the mean over "
        "R, G, B; image: one field as the first two channels, the third zero.",
        panel=STREAMS,
    )
    flow_stack: int = option(10, "Fields in a stack. Row k begins at frame k and looks ahead.", panel=STREAMS)
    flow_stride: int = option(1, "Fields from the beginning of one stack, or image, to the next.", panel=STREAMS)
    encode: list[Path] = option(
        (),
        "Codebook of 'vidfeat codebook train': instead of the maps of its layer, one code of each item is stored, as "
        "code.LAYER.KIND; for several, repeat the option.",
        panel=NETWORK,
        metavar="BOOK",
    )
    flow_weights: str | None = option(
        None,
        "Weights of the network that sees flow, if they are others than --weights; a file whose first layer takes "
        "flow already is used as it is.",
        panel=STREAMS,
    )

    @property
    def layer_names(self) -> list[str]:
        return [name.strip() for name in self.layers.split(",") if name.strip()]

    @property
    def scale_values(self) -> tuple[float, ...]:
        """The values of ``input_scales``; UsageError if they are none."""
        try:
            values = tuple(float(part) for part in str(self.input_scales).split(","))
        except ValueError:
            values = ()
        if not values or not all(0 < value < math.inf for value in values) or len(set(values)) < len(values):
            raise UsageError(
                f"--input-scales is {self.input_scales!r}; it must be numbers above 0, such as 1,2, each once."
            )
        return values

    @property
    def streams(self) -> list[str]:
        return self.stream.split(",")

    def check_network(self) -> None:
        """UsageError for numbers that cannot be, and options that contradict each other."""
        check_positive(self, "size", "shorter_side", "flow_stack", "flow_stride")
        if not self.layer_names:
            raise UsageError("--layers is empty; name at least one layer. 'vidfeat layers BACKBONE' lists them.")
        scaled = self.scale_values != (1.0,)
        clashes = [
            (scaled and self.no_resize, "--input-scales and --no-resize"),
            (scaled and "flow" in self.streams, f"--input-scales and --stream {self.stream}"),
            (self.warp and self.no_resize, "--warp and --no-resize"),
            (self.warp and self.ten_crop, "--warp and --ten-crop"),
            (self.no_resize and self.ten_crop, "--no-resize and --ten-crop"),
            (self.warp and self.shorter_side is not None, "--warp and --shorter-side"),
            (self.no_resize and self.shorter_side is not None, "--no-resize and --shorter-side"),
            (self.no_resize and self.size is not None, "--no-resize and --size"),
            (self.flow_input == "image" and self.flow_stack != NetworkOptions.flow_stack, "--flow-input image and "
             "--flow-stack"),
        ]  # fmt: skip
        for clash, names in clashes:
            if clash:
                raise UsageError(f"{names} contradict each other; give one of them.")


@dataclass(frozen=True)
class ExtractConfig(RunOptions, FlowOptions, NetworkOptions, FramesConfig):
    """What to extract, from which frames, with which network, and into which file."""

    output: Path = required_option(
        "Features file to write (HDF5). A rerun with the same options resumes it.", short="-o"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_run()
        self.check_network()
        if "flow" in self.streams:
            self.check_flow()
        elif given := self._flow_only_option() or self.given_flow_option():
            raise UsageError(
                f"{given} has no effect with --stream {self.stream}, only with flow or rgb,flow. Leave it out, on the "
                "command line or in the --config file, or change --stream."
            )

    def _flow_only_option(self) -> str:
        given = [name for name in _FLOW_ONLY if getattr(self, name) != getattr(NetworkOptions, name)]
        return f"--{given[0].replace('_', '-')} {getattr(self, given[0])}" if given else ""
