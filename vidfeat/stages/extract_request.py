"""What an ``ExtractConfig`` asks for: pixels, networks, flow, and the settings that identify the result."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from vidfeat.errors import UsageError
from vidfeat.features import FlowInput, InputSpec
from vidfeat.media.sampling import Sampling
from vidfeat.media.transforms import Geometry
from vidfeat.precision import check_device, check_precision
from vidfeat.stages.computers import place_of
from vidfeat.stages.config.extract import ExtractConfig, NetworkOptions
from vidfeat.stages.config.flow import SETTINGS
from vidfeat.stages.config.options import as_json
from vidfeat.stages.devices import resolve_devices
from vidfeat.stages.flow_request import flow_recipe, flow_settings_of
from vidfeat.stages.recipe import Recipe
from vidfeat.stages.request import frame_settings
from vidfeat.stages.views import size_suffix

_REPEATED = frozenset(["fps", "num_frames", "stride", "max_seconds", *(field.name for field in fields(NetworkOptions))])
_REPEATED_FLOW = frozenset(["method", "bound", *SETTINGS])
_FILES = ("weights", "flow_weights", "raft_weights")


def devices_of(config: ExtractConfig) -> list[str]:
    """Devices of an extraction. UsageError for one that is not there, or that cannot do what is asked."""
    devices = resolve_devices(config.device)
    for device in devices:
        check_precision(config.precision, check_device(device))
        if "flow" in config.streams:
            place_of(flow_recipe(config), device)
    return devices


def recipe_of(config: ExtractConfig) -> Recipe:
    """What an extraction computes."""
    rgb = extractor_arguments(config) if "rgb" in config.streams else None
    books = tuple(str(path) for path in config.encode)
    if "flow" not in config.streams:
        return Recipe(rgb, scales=config.scale_values, codebooks=books)
    seen = FlowInput("stack", config.flow_stack) if config.flow_input == "stack" else FlowInput("image", 1)
    network = {**extractor_arguments(config), "weights": config.flow_weights or config.weights, "flow": seen}
    return Recipe(rgb, flow_recipe(config), network, config.flow_stride, codebooks=books)


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
    config: ExtractConfig,
    rgb: Mapping[str, Any] | None,
    flow: Mapping[str, Any] | None,
    sampling: Sampling,
    geometry: Geometry,
    weights: bool = True,
) -> dict[str, Any]:
    """All that determines the numbers in the file; equal settings may be resumed and merged.

    Keys are the names of the options, so that a refusal can name the one that differs. ``rgb`` and ``flow`` are the
    identities of the networks, which share all options but weights and input; None for a stream that is not asked for.
    ``weights``: as for ``flow_settings_of``.
    """
    settings = {name.replace("_", "-"): value for name, value in (rgb or flow).items()}
    if flow is not None:
        if rgb is None:
            settings = {name: value for name, value in settings.items() if name not in ("weights", "input")}
        settings |= {f"flow-{name}": flow[name] for name in ("weights", "input") if name in flow}
        settings |= {
            "stream": config.stream,
            "flow-stride": config.flow_stride,
            **flow_settings_of(config, weights=weights),
        }
    return {
        **settings,
        **frame_settings(sampling),
        "resize": geometry.mode,
        "shorter-side": geometry.shorter_side,
        "size": geometry.size,
        "ten-crop": geometry.ten_crop,
        "interpolation": geometry.interpolation,
        "antialias": geometry.antialias,
        **({} if config.scale_values == (1.0,) else {"input-scales": list(config.scale_values)}),
        **_encode_settings(config, geometry, settings),
    }


def _encode_settings(config: ExtractConfig, geometry: Geometry, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fingerprints of the codebooks, by the datasets of their codes. UsageError for a feature that is not asked for, or
    of another network than ``settings`` name."""
    coded, fingerprints = coded_by(config)
    if not coded:
        return {}
    prefixes = [{"rgb": "", "flow": "flow."}[stream] for stream in config.streams]
    there = [prefix + name for prefix in prefixes for name in stored_layers(config, geometry.size)]
    for feature in coded:
        if feature not in there:
            raise UsageError(
                f"--encode: the codebook describes {feature}, which is not extracted; there are {', '.join(there)}. "
                "Name it with --layers, and for flow. with --stream."
            )
    from vidfeat.stages.books import check_source
    from vidfeat.store.codebook import read_codebook

    for path in config.encode:
        book = read_codebook(path)
        check_source(path, book, book.provenance["feature"], settings)
    return {"encode": fingerprints}


def coded_by(config: ExtractConfig) -> tuple[Mapping[str, Any], dict[str, str]]:
    """Feature -> its encoders, and dataset -> fingerprint, of ``--encode``."""
    if not config.encode:
        return {}, {}
    from vidfeat.stages.books import coded_features  # encoders take their time to import

    return coded_features(config.encode)


def stored_layers(config: ExtractConfig, size: Any) -> list[str]:
    """Names of the layers in every scale, with a network whose input is ``size`` pixels wide."""
    if config.scale_values == (1.0,):
        return config.layer_names
    suffixes = [size_suffix(round(size * scale), size) for scale in config.scale_values]
    return [layer + suffix for suffix in suffixes for layer in config.layer_names]


def repeatable_options(config: ExtractConfig) -> dict[str, Any]:
    """The options that ``vidfeat predict`` needs to extract new videos alike; files of weights as absolute paths."""
    names = _REPEATED | (_REPEATED_FLOW if "flow" in config.streams else frozenset())
    chosen = {name: value for name, value in as_json(config).items() if name in names}
    if chosen.get("backend") != "opencv":  # the others compute the same, each on its own device
        chosen.pop("backend", None)
    for name in _FILES:
        if chosen.get(name) and Path(chosen[name]).is_file():
            chosen[name] = str(Path(chosen[name]).resolve())
    chosen["encode"] = [str(path.resolve()) for path in config.encode]
    return chosen
