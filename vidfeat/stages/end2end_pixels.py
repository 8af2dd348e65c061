"""From what a run remembers of its input to decoders and crops."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidfeat.errors import UsageError
from vidfeat.media.sampling import Sampling
from vidfeat.media.transforms import Geometry
from vidfeat.networks import VideoNetwork
from vidfeat.stages.config.end2end import End2EndTrainConfig
from vidfeat.stages.end2end_clips import Crop
from vidfeat.stages.end2end_decode import FLOW, DecodePlan
from vidfeat.stages.flow_request import flow_settings_of
from vidfeat.stages.recipe import FlowRecipe
from vidfeat.stages.request import frame_settings, sampling_of


def pixels_of(config: End2EndTrainConfig, model: VideoNetwork) -> dict[str, Any]:
    """How frames become what the networks see, as plain JSON values. UsageError for options that do not fit."""
    specs = {name: stream.frames.input_spec for name, stream in model.streams.items()}
    spec = next(iter(specs.values()))
    other = next((name for name, found in specs.items() if found.size != spec.size), None)
    if other is not None:
        raise UsageError(
            f"the network of {other} takes pictures of {specs[other].size} pixels, the other one of {spec.size}; make "
            "them equal with --size."
        )
    found: dict[str, Any] = {
        "streams": list(specs),
        "sampling": asdict(sampling_of(config)),
        "warp": config.warp,
        "shorter_side": spec.shorter_side,
        "size": spec.size,
        "interpolation": spec.interpolation,
        "antialias": spec.antialias,
    }
    if FLOW in specs:
        found["flow"] = {
            "method": config.method,
            "settings": config.flow_settings,
            "bound": config.bound,
            "stack": config.flow_stack,
            "stride": config.flow_stride,
            "complete": flow_settings_of(config),
        }
    return found


def decode_plan(pixels: Mapping[str, Any], folder: Path, device: str, timeout: float | None = None) -> DecodePlan:
    """How videos are decoded into the cache in ``folder``."""
    side = pixels["shorter_side"]
    given = {"interpolation": pixels["interpolation"], "antialias": pixels["antialias"]}
    if pixels["warp"]:
        geometry = Geometry("warp", shorter_side=None, size=side, **given)
    else:
        geometry = Geometry("keep", shorter_side=side, size=None, **given)
    sampling = Sampling(**pixels["sampling"])
    flow = pixels.get("flow")
    settings = {
        "streams": ",".join(pixels["streams"]),
        **frame_settings(sampling),
        "resize": geometry.mode,
        "side": side,
        **given,
        **(flow["complete"] if flow else {}),
    }
    recipe = FlowRecipe(flow["method"], flow["settings"], "uint8", flow["bound"]) if flow else None
    return DecodePlan(
        folder, settings, sampling, geometry, tuple(pixels["streams"]), recipe, flow["stack"] if flow else 1, device,
        timeout,
    )  # fmt: skip


def crops_of(pixels: Mapping[str, Any]) -> dict[str, Crop]:
    """Stream -> what is cut out of its frames."""
    crop = Crop(pixels["size"], pixels["interpolation"], pixels["antialias"])
    return dict.fromkeys(pixels["streams"], crop)


def stacking(pixels: Mapping[str, Any]) -> dict[str, int]:
    """Length and stride of stacks of flow."""
    flow = pixels.get("flow")
    return {"stack": flow["stack"], "stride": flow["stride"]} if flow else {}
