"""``vidfeat extract --dry-run``."""

import math
from typing import Any

import torchvision

from vidfeat import features
from vidfeat.errors import UsageError
from vidfeat.features.backbones import check_backbone, input_spec
from vidfeat.flow.stacks import stack_starts
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.extract_request import coded_by, devices_of, geometry_of, settings_of
from vidfeat.stages.plan import Expected, dry_run
from vidfeat.stages.request import sampling_of
from vidfeat.stages.summary import Summary
from vidfeat.stages.views import size_suffix
from vidfeat.weights.sources import find_weights


def run(config: ExtractConfig) -> Summary:
    """The plan of an extraction. UsageError as the extraction itself, as far as it can be told without a network's
    values or a download; StorageError if the output is damaged.
    """
    devices_of(config)
    settings, per_row = known_settings(config), bytes_per_row(config)
    length = config.flow_stack if config.flow_input == "stack" else 1

    def rows_and_bytes(expected: Expected) -> tuple[int, int]:
        stacks = len(stack_starts(max(0, expected.frames - 1), length, config.flow_stride))
        rows = {"rgb": expected.frames, "flow": stacks}
        return rows[config.streams[0]], per_row * sum(rows[stream] for stream in config.streams)

    plan = dry_run(config, settings, "frames", rows_and_bytes)
    return Summary({**plan.facts, "bytes_per_frame": per_row})


def known_settings(config: ExtractConfig) -> dict[str, Any]:
    """The settings of the extraction but for those that only a built network or a download can tell."""
    check_backbone(config.backbone)
    identity = {
        "backbone": config.backbone,
        "layers": config.layer_names,
        "precision": config.precision,
        "map_pool": config.map_pool,
    }
    identities, spec = {}, None
    for stream in config.streams:
        weights = (config.flow_weights if stream == "flow" else None) or config.weights
        entry, known = _weights_without_download(config, weights)
        identities[stream] = {**identity, **known}
        spec = spec or input_spec(config.backbone, entry).resized(config.size)
    return settings_of(
        config, identities.get("rgb"), identities.get("flow"), sampling_of(config), geometry_of(config, spec), False
    )


def _weights_without_download(config: ExtractConfig, weights: str) -> tuple[Any, dict[str, str]]:
    """(torchvision's entry, if it is one of its; {"weights": identity} if that can be told)."""
    entries = torchvision.models.get_model_weights(config.backbone)
    entry = entries.__members__.get(weights.removeprefix(f"{entries.__name__}."))
    if entry is not None:
        return entry, {}
    found = find_weights(config.backbone, weights, config.seed)
    return found.entry, {"weights": found.identity}


def bytes_per_row(config: ExtractConfig) -> int:
    """Stored bytes of one frame, or one stack of flow: all layers but those kept as codes, its time and its index."""
    coded = {feature.removeprefix("flow.") for feature in coded_by(config)[0]}
    own = input_spec(config.backbone, None).resized(config.size).size
    total = 16
    for scale in config.scale_values:
        size = round(own * scale)
        shapes = {layer.name: layer.shape for layer in features.layers(config.backbone, size=size, nodes=True)}
        for name in config.layer_names:
            shape = shapes.get(name.removesuffix(":pre"))
            if shape is None:
                raise UsageError(
                    f"{config.backbone} has no layer {name!r}. 'vidfeat layers {config.backbone}' lists them."
                )
            if name + size_suffix(size, own) not in coded:
                total += _bytes_of(shape, config)
    return total


def _bytes_of(shape: tuple[int, ...], config: ExtractConfig) -> int:
    is_map = len(shape) > 1 and config.map_pool is None
    numbers = math.prod(shape) if is_map else shape[0]
    width = {"float16": 2, "float32": 4, None: 2 if is_map else 4}[config.dtype]
    return numbers * width * (10 if config.ten_crop else 1)
