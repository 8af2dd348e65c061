"""Options of ``vidfeat extract``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.frames import FramesConfig
from vidfeat.stages.config.options import check_positive, option, required_option

PIXELS = "Pixels"
NETWORK = "Network"
FILES = "Files and runs"
SPEED = "Speed"


@dataclass(frozen=True)
class ExtractConfig(FramesConfig):
    """What to extract, from which frames, with which network, and into which file."""

    output: Path = required_option(
        "Features file to write (HDF5). A rerun with the same options resumes it.", short="-o"
    )

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
    warp: bool = option(
        False, "Resize the whole frame to a square, ignoring its aspect, instead of cropping.", panel=PIXELS
    )
    no_resize: bool = option(False, "Feed frames at their own size (maps only).", panel=PIXELS)
    ten_crop: bool = option(False, "Four corners and centre, each mirrored too: ten vectors per frame.", panel=PIXELS)

    device: str = option(
        "auto",
        "cpu, cuda:0, or a list such as cuda:0,cuda:1 (one process each). auto = every visible GPU, else the CPU.",
        panel=SPEED,
    )
    batch_size: int | None = option(
        None, "Frames per forward pass. By default chosen for network and device.", panel=SPEED
    )
    workers: int | None = option(
        None, "Decoding threads per device. By default chosen from the number of cores.", panel=SPEED
    )
    threads: int | None = option(None, "CPU threads of the network. By default all cores.", panel=SPEED)
    decode_threads: int = option(1, "Threads inside each video decoder.", panel=SPEED)

    overwrite: bool = option(False, "Discard what OUTPUT and its parts hold, and start anew.", panel=FILES)
    strict: bool = option(False, "Count a truncated video as failed instead of keeping it with a warning.", panel=FILES)
    shard: str | None = option(
        None, "i/n, 0 <= i < n, or slurm/n: only this share of the items.", metavar="I/N", panel=FILES
    )
    no_merge: bool = option(False, "Leave the parts as they are; OUTPUT becomes a file of links to them.", panel=FILES)
    compression: Literal["none", "gzip"] = option("none", "Compression of the stored features.", panel=FILES)
    dry_run: bool = option(False, "Say what would be done (items, frames, bytes), and do nothing.", panel=FILES)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "size", "shorter_side", "batch_size", "workers", "threads", "decode_threads")
        if not self.layer_names:
            raise UsageError("--layers is empty; name at least one layer. 'vidfeat layers BACKBONE' lists them.")
        clashes = [
            (self.warp and self.no_resize, "--warp and --no-resize"),
            (self.warp and self.ten_crop, "--warp and --ten-crop"),
            (self.no_resize and self.ten_crop, "--no-resize and --ten-crop"),
            (self.warp and self.shorter_side is not None, "--warp and --shorter-side"),
            (self.no_resize and self.shorter_side is not None, "--no-resize and --shorter-side"),
            (self.no_resize and self.size is not None, "--no-resize and --size"),
        ]
        for clash, names in clashes:
            if clash:
                raise UsageError(f"{names} contradict each other; give one of them.")

    @property
    def layer_names(self) -> list[str]:
        return [name.strip() for name in self.layers.split(",") if name.strip()]
