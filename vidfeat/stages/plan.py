"""``vidfeat extract --dry-run``: items, frames and bytes, without decoding a frame or running a network."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torchvision

from vidfeat import features
from vidfeat.datasets.items import Item
from vidfeat.errors import UsageError, VidfeatError
from vidfeat.features.backbones import check_backbone, input_spec
from vidfeat.media.sampling import Sampling
from vidfeat.media.video import VideoReader
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.recorder import unfinished
from vidfeat.stages.request import geometry_of, sampling_of, select_items, settings_of
from vidfeat.stages.summary import Summary
from vidfeat.store import open_features
from vidfeat.store.layout import list_parts, parts_folder
from vidfeat.store.settings import differences, in_words
from vidfeat.suffixes import IMAGE_SUFFIXES
from vidfeat.weights.sources import find_weights


def run(config: ExtractConfig) -> Summary:
    """Estimate from the containers' headers; items that cannot be opened are counted as unreadable.

    UsageError as the extraction itself, as far as it can be told without a network's values or a download;
    StorageError if the output is damaged.
    """
    _, items, output = select_items(config)
    settings, per_frame = known_settings(config), bytes_per_frame(config)
    done = {} if config.overwrite else finished(output, items, settings)
    todo = unfinished(items, done, strict=config.strict)
    counts = [expected_frames(item, sampling_of(config)) for item in todo]
    frames = sum(count for count in counts if count is not None)
    return Summary(
        {
            "output": str(output),
            "items": len(items),
            "skipped": len(items) - len(todo),
            "unreadable": counts.count(None),
            "frames": frames,
            "bytes": frames * per_frame,
            "bytes_per_frame": per_frame,
        }
    )


def known_settings(config: ExtractConfig) -> dict[str, Any]:
    """The settings of the extraction but for those that only a built network or a download can tell."""
    check_backbone(config.backbone)
    identity = {
        "backbone": config.backbone,
        "layers": config.layer_names,
        "precision": config.precision,
        "map_pool": config.map_pool,
    }
    entries = torchvision.models.get_model_weights(config.backbone)
    entry = entries.__members__.get(config.weights.removeprefix(f"{entries.__name__}."))
    if entry is None:
        found = find_weights(config.backbone, config.weights, config.seed)
        entry, identity["weights"] = found.entry, found.identity
    geometry = geometry_of(config, input_spec(config.backbone, entry).resized(config.size))
    return settings_of(config, identity, sampling_of(config), geometry)


def finished(output: Path, items: Iterable[Item], settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Attributes of the listed items that the output and its parts hold; UsageError if ``settings`` differ there."""
    done = {}
    for path in [*([output] if output.exists() else []), *list_parts(parts_folder(output))]:
        with open_features(path) as stored:
            known = {name: value for name, value in stored.settings.items() if name in settings}
            if found := differences(known, settings):
                raise UsageError(
                    f"{path} was made with other settings ({in_words(found)}). Use the same settings to go on, "
                    "another output for a second file, or --overwrite to start anew."
                )
            done |= {item.id: stored[item.id].attrs for item in items if item.id in stored}
    return done


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
