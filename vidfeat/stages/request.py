"""What an ``ExtractConfig`` asks for: items, frames, pixels, network, and the settings that identify the result."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidfeat.datasets.items import Item
from vidfeat.datasets.listing import Listing, list_items
from vidfeat.datasets.shards import select_shard
from vidfeat.errors import UsageError
from vidfeat.features import InputSpec
from vidfeat.media import DECODING
from vidfeat.media.sampling import Sampling
from vidfeat.media.transforms import Geometry
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.config.frames import FramesConfig
from vidfeat.stages.config.options import as_json

log = logging.getLogger("vidfeat")

_REPEATED = (
    "backbone layers weights seed map_pool precision dtype fps num_frames stride max_seconds size shorter_side warp "
    "no_resize ten_crop"
).split()


def select_items(config: ExtractConfig) -> tuple[Listing, list[Item], Path]:
    """The listing, this shard's items, and the file they go to."""
    listing = list_items(config.inputs)
    if listing.missing:
        log.warning(
            "%d of %d listed files do not exist (first: %s); they are recorded as failed.",
            len(listing.missing), len(listing.items), listing.missing[0],
        )  # fmt: skip
    if config.shard is None:
        return listing, list(listing.items), config.output
    index, count, ids = select_shard([item.id for item in listing.items], config.shard)
    wanted = set(ids)
    output = config.output.with_name(f"{config.output.stem}.shard-{index:03d}-of-{count:03d}{config.output.suffix}")
    log.info("Shard %d of %d: %d of %d items, into %s.", index, count, len(ids), len(listing.items), output)
    return listing, [item for item in listing.items if item.id in wanted], output


def extractor_arguments(config: ExtractConfig) -> dict[str, Any]:
    return {
        "backbone": config.backbone,
        "layers": config.layer_names,
        "weights": config.weights,
        "seed": config.seed,
        "precision": config.precision,
        "map_pool": config.map_pool,
        "dtype": config.dtype,
        "size": config.size,
    }


def sampling_of(config: FramesConfig) -> Sampling:
    return Sampling(fps=config.fps, num_frames=config.num_frames, stride=config.stride, max_seconds=config.max_seconds)


def geometry_of(config: ExtractConfig, spec: InputSpec) -> Geometry:
    """Resize and crop: the weights' own, scaled to ``--size``, unless flags say otherwise."""
    mode = "warp" if config.warp else "keep" if config.no_resize else "crop"
    shorter_side = config.shorter_side or spec.shorter_side
    if mode == "crop" and shorter_side < spec.size:
        raise UsageError(
            f"--shorter-side {shorter_side} is smaller than the crop of {spec.size}; raise it, or lower --size."
        )
    return Geometry(
        mode=mode,
        shorter_side=shorter_side if mode == "crop" else None,
        size=None if mode == "keep" else spec.size,
        ten_crop=config.ten_crop,
        interpolation=spec.interpolation,
        antialias=spec.antialias,
    )


def settings_of(
    config: ExtractConfig, identity: Mapping[str, Any], sampling: Sampling, geometry: Geometry
) -> dict[str, Any]:
    """All that determines the numbers in the file; equal settings may be resumed and merged.

    Keys are the names of the options, so that a refusal can name the one that differs.
    """
    return {
        **{name.replace("_", "-"): value for name, value in identity.items()},
        "decode": DECODING,
        "fps": sampling.fps,
        "num-frames": sampling.num_frames,
        "stride": sampling.stride,
        "max-seconds": sampling.max_seconds,
        "resize": geometry.mode,
        "shorter-side": geometry.shorter_side,
        "size": geometry.size,
        "ten-crop": geometry.ten_crop,
        "interpolation": geometry.interpolation,
        "antialias": geometry.antialias,
    }


def ignored_files(listing: Listing) -> str:
    """A sentence on files that a directory holds but that are neither videos nor images."""
    if not listing.ignored:
        return ""
    counts = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in sorted(listing.ignored.items()))
    return f" Ignored files of other kinds: {counts}."


def repeatable_options(config: ExtractConfig) -> dict[str, Any]:
    """The options that ``vidfeat predict`` needs to extract new videos alike; the weights file as an absolute path."""
    chosen = {name: value for name, value in as_json(config).items() if name in _REPEATED}
    if Path(config.weights).is_file():
        chosen["weights"] = str(Path(config.weights).resolve())
    return chosen


def shard_of(config: ExtractConfig) -> str | None:
    """``i/n`` of this run, with i from Slurm's environment already filled in; None without --shard."""
    if config.shard is None:
        return None
    index, count, _ = select_shard([], config.shard)
    return f"{index}/{count}"
