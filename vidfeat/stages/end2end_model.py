"""Video networks from options, and from what a run remembers of them."""

from typing import Any

import torch
from torch import Tensor

from vidfeat.errors import UsageError
from vidfeat.features.flow_input import FlowInput
from vidfeat.networks import FrameNetwork, Stream, VideoNetwork, backbone_network, make_pool, small_network
from vidfeat.stages.config.end2end import End2EndTrainConfig
from vidfeat.stages.config.end2end_network import SMALL
from vidfeat.weights.files import OWN

# Poolings with drawn values of their own.
_SEEDED = ("pyramid", "spectrogram")


def description_of(config: End2EndTrainConfig, features: dict[str, int] | None) -> dict[str, Any]:
    """All that a network is built from, as plain JSON values; ``features``: stream -> D of stored frame vectors."""
    return {
        "streams": list(features or config.streams),
        "backbone": config.backbone,
        "layer": config.layer,
        "weights": "none" if config.backbone == SMALL else config.weights,
        "flow_weights": config.flow_weights,
        "dim": config.dim,
        "network_dropout": config.network_dropout,
        "size": config.size,
        "flow_stack": config.flow_stack,
        "pool": config.pool,
        "pool_settings": config.pool_settings,
        "dropout": config.dropout,
        "loss": config.loss,
        "seed": config.seed,
        "features": features,
    }


def build_model(made: dict[str, Any], classes: int, class_weights: Tensor | None = None) -> VideoNetwork:
    """The network of a description, on the CPU. UsageError for values that its parts refuse."""
    streams = {}
    for name in made["streams"]:
        frames = None if made["features"] else _frames(made, name)
        dim = frames.dim if frames is not None else made["features"][name]
        settings = dict(made["pool_settings"])
        if made["pool"] in _SEEDED:
            settings["seed"] = made["seed"]
        pool = make_pool(made["pool"], dim, **settings)
        streams[name] = Stream(frames, pool, classes, dropout=made["dropout"], seed=made["seed"])
    return VideoNetwork(streams, loss=made["loss"], class_weights=class_weights)


def remembered(made: dict[str, Any], model: VideoNetwork) -> dict[str, Any]:
    """The description with all that a later version of the weights could not tell: scale of the pixels, and their size.

    A network built of it needs no weights file but the run's own.
    """
    inputs = {}
    for name, stream in model.streams.items():
        if stream.frames is not None:
            inputs[name] = {
                "spec": vars(stream.frames.input_spec) | {"mean": None, "std": None},
                "scale": stream.frames.scale.tolist(),
                "shift": stream.frames.shift.tolist(),
                "identity": stream.frames.identity,
            }
    return {**made, "inputs": inputs}


def rebuild_model(made: dict[str, Any], classes: int) -> VideoNetwork:
    """The network of what a run remembers, without the values of its parameters."""
    model = build_model({**made, "weights": "none", "flow_weights": None}, classes)
    for name, stream in model.streams.items():
        if stream.frames is not None:
            said = made["inputs"][name]
            with torch.no_grad():
                stream.frames.scale.copy_(torch.tensor(said["scale"]))
                stream.frames.shift.copy_(torch.tensor(said["shift"]))
    return model


def state_of(model: VideoNetwork) -> dict[str, Tensor]:
    """Parameters of a video network for ``best.safetensors``: those of the first network of frames under the names of
    the network it was made from, so that ``extract --weights`` takes the file; all others behind ``vidfeat.``."""
    first = next((name for name, stream in model.streams.items() if stream.frames is not None), None)
    found = {}
    for name, value in model.state_dict().items():
        own = _own_name(name, first)
        found[own or OWN + name] = value.detach().cpu().contiguous().clone()
    return found


def load_state(model: VideoNetwork, state: dict[str, Tensor]) -> None:
    """Give a network what :func:`state_of` made. UsageError if it does not fit."""
    first = next((name for name, stream in model.streams.items() if stream.frames is not None), None)
    renamed = {}
    for name, value in model.state_dict().items():
        there = state.get(_own_name(name, first) or OWN + name)
        if there is None or there.shape != value.shape:
            came = "missing" if there is None else f"of the shape {list(there.shape)}, not {list(value.shape)}"
            raise UsageError(f"The run's weights do not fit its model.json: {name} is {came}. Train again.")
        renamed[name] = there
    model.load_state_dict(renamed)


def _own_name(name: str, first: str | None) -> str | None:
    """``streams.rgb.frames.body.conv1.weight`` -> ``conv1.weight``, for the first stream alone."""
    prefix = f"streams.{first}.frames.body."
    return name.removeprefix(prefix) if first is not None and name.startswith(prefix) else None


def _frames(made: dict[str, Any], stream: str) -> FrameNetwork:
    flow = FlowInput("stack", made["flow_stack"]) if stream == "flow" else None
    dropout = {} if made["network_dropout"] is None else {"dropout": made["network_dropout"]}
    if made["backbone"] == SMALL:
        given = {name: made[name] for name in ("dim", "size") if made[name] is not None}
        return small_network(channels=flow.channels if flow else 3, seed=made["seed"], **given, **dropout)
    weights = made["flow_weights"] or made["weights"] if flow else made["weights"]
    return backbone_network(
        made["backbone"], made["layer"], weights=weights, seed=made["seed"], flow=flow, size=made["size"], **dropout
    )
