"""``vidfeat extract --dry-run``: items, frames and bytes, without decoding a frame or running a network."""

import math

from vidfeat import features
from vidfeat.datasets.items import Item
from vidfeat.errors import UsageError, VidfeatError
from vidfeat.media.sampling import Sampling
from vidfeat.media.video import VideoReader
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.request import sampling_of, select_items
from vidfeat.stages.summary import Summary
from vidfeat.store import open_features
from vidfeat.suffixes import IMAGE_SUFFIXES


def run(config: ExtractConfig) -> Summary:
    """Estimate from the containers' headers; items that cannot be opened are counted as unreadable."""
    _, items, output = select_items(config)
    sampling = sampling_of(config)
    done: set[str] = set()
    if not config.overwrite:
        try:
            with open_features(output) as stored:
                done = set(stored.ids)
        except VidfeatError:
            done = set()
    frames = unreadable = 0
    for item in items:
        if item.id in done:
            continue
        count = expected_frames(item, sampling)
        if count is None:
            unreadable += 1
        else:
            frames += count
    per_frame = bytes_per_frame(config)
    return Summary(
        {
            "output": str(output),
            "items": len(items),
            "skipped": sum(item.id in done for item in items),
            "unreadable": unreadable,
            "frames": frames,
            "bytes": frames * per_frame,
            "bytes_per_frame": per_frame,
        }
    )


def expected_frames(item: Item, sampling: Sampling) -> int | None:
    """Frames that ``sampling`` will keep, by the container's own count or duration; None if it cannot be opened."""
    if item.path.suffix.lower() in IMAGE_SUFFIXES:
        return 1 if item.path.is_file() else None
    try:
        with VideoReader(item.path) as reader:
            info = reader.info
    except VidfeatError:
        return None
    seconds = info.frames_expected / info.fps if info.frames_expected and info.fps > 0 else info.duration or 0.0
    seconds = min(seconds, item.end if item.end is not None else math.inf) - (item.start or 0.0)
    if sampling.max_seconds is not None:
        seconds = min(seconds, sampling.max_seconds)
    total = max(0, round(seconds * info.fps)) if info.fps > 0 else 0
    if sampling.num_frames is not None:
        return min(sampling.num_frames, total)
    if sampling.fps is not None and sampling.fps < info.fps:
        return math.ceil(seconds * sampling.fps)
    return math.ceil(total / sampling.stride)


def bytes_per_frame(config: ExtractConfig) -> int:
    """Stored bytes of one frame: all layers, its time and its index."""
    shapes = {layer.name: layer.shape for layer in features.layers(config.backbone, size=config.size, nodes=True)}
    total = 16
    for name in config.layer_names:
        shape = shapes.get(name.removesuffix(":pre"))
        if shape is None:
            raise UsageError(f"{config.backbone} has no layer {name!r}. 'vidfeat layers {config.backbone}' lists them.")
        is_map = len(shape) > 1 and config.map_pool is None
        numbers = math.prod(shape) if is_map else shape[0]
        width = {"float16": 2, "float32": 4, None: 2 if is_map else 4}[config.dtype]
        total += numbers * width * (10 if config.ten_crop else 1)
    return total
