"""What every config that reads frames asks for: items, and which of their frames."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidfeat.datasets.items import Item
from vidfeat.datasets.listing import Listing, list_items
from vidfeat.datasets.shards import select_shard
from vidfeat.errors import UsageError
from vidfeat.media import DECODING
from vidfeat.media.sampling import Sampling
from vidfeat.media.transforms import Geometry
from vidfeat.stages.config.frames import FramesConfig
from vidfeat.stages.config.running import RunOptions
from vidfeat.store.output import is_hdf5

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class Request:
    """Everything that was listed, this shard's items of it, and the file they go to."""

    listing: Listing
    items: list[Item]
    output: Path


def select_items(config: RunOptions) -> Request:
    """The items of a run; UsageError for inputs that cannot be listed."""
    listing = list_items(config.inputs)
    if listing.missing:
        log.warning(
            "%d of %d listed files do not exist (first: %s); they are recorded as failed.",
            len(listing.missing), len(listing.items), listing.missing[0],
        )  # fmt: skip
    if config.shard is None:
        _check_output(config.output)
        return Request(listing, list(listing.items), config.output)
    index, count, ids = select_shard([item.id for item in listing.items], config.shard)
    wanted = set(ids)
    output = config.output.with_name(f"{config.output.stem}.shard-{index:03d}-of-{count:03d}{config.output.suffix}")
    _check_output(output)
    log.info("Shard %d of %d: %d of %d items, into %s.", index, count, len(ids), len(listing.items), output)
    return Request(listing, [item for item in listing.items if item.id in wanted], output)


def _check_output(path: Path) -> None:
    """UsageError, before networks are loaded, for a file that no run goes on with."""
    if path.is_dir():
        raise UsageError(f"The output {path} is a folder, but a file is expected, such as {path / 'feats.h5'}.")
    try:
        other = path.is_file() and not is_hdf5(path)
    except OSError as error:
        raise UsageError(f"The output {path} exists and cannot be read: {error.strerror}.") from error
    if other:
        raise UsageError(
            f"The output {path} exists and is no features file; it is left as it is. Choose another name, such as "
            f"{path.with_suffix('.h5').name}."
        )


def sampling_of(config: FramesConfig) -> Sampling:
    return Sampling(fps=config.fps, num_frames=config.num_frames, stride=config.stride, max_seconds=config.max_seconds)


def whole_frames(sides: tuple[int | None, int | None]) -> Geometry:
    """Frames without a crop, resized to (width, height), or to a shorter side (side, None), or (None, None) not."""
    width, height = sides
    if height is not None:
        return Geometry("warp", shorter_side=None, size=(height, width))
    return Geometry("keep", shorter_side=width, size=None)


def frame_settings(sampling: Sampling) -> dict[str, Any]:
    """How frames are decoded, and which are kept."""
    return {
        "decode": DECODING,
        "fps": sampling.fps,
        "num-frames": sampling.num_frames,
        "stride": sampling.stride,
        "max-seconds": sampling.max_seconds,
    }


def ignored_files(listing: Listing) -> str:
    """A sentence on files that a directory holds but that are neither videos nor images."""
    if not listing.ignored:
        return ""
    counts = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in sorted(listing.ignored.items()))
    return f" Ignored files of other kinds: {counts}."


def shard_of(config: RunOptions) -> str | None:
    """``i/n`` of this run, with i from Slurm's environment already filled in; None without --shard."""
    if config.shard is None:
        return None
    index, count, _ = select_shard([], config.shard)
    return f"{index}/{count}"
