"""The settings of training that the options ask for, and all that identifies a run."""

import hashlib
from dataclasses import fields, replace
from typing import Any

from vidfeat.errors import UsageError
from vidfeat.networks import VideoNetwork
from vidfeat.stages.config.end2end import End2EndTrainConfig
from vidfeat.stages.config.flow import FlowOptions
from vidfeat.stages.config.options import as_json, flag_of
from vidfeat.stages.end2end_items import Parts
from vidfeat.training import PRESETS, Schedule, Settings

# Where and how fast, not what; or told by something else below (items, identities of networks, flow).
_FREE = frozenset(
    "inputs output cache device workers threads timeout chunk log_steps tensorboard overwrite weights flow_weights "
    "features validation val_share split".split()
) | {field.name for field in fields(FlowOptions)}  # fmt: skip

_CHANGES = {
    "epochs": "epochs", "batch": "batch", "momentum": "momentum", "weight_decay": "weight_decay", "warmup": "warmup",
    "frame_lr": "frame_factor", "head_lr": "head_factor", "clip": "clip", "patience": "patience",
    "surrogate": "surrogate", "precision": "precision", "chunk": "chunk",
}  # fmt: skip


def training_settings(config: End2EndTrainConfig, chunk: int | None = None) -> Settings:
    """The preset with what was given; ``chunk`` is that of the run that goes on, unless another was given."""
    found = PRESETS[config.preset]
    given = {setting: getattr(config, name) for name, setting in _CHANGES.items() if getattr(config, name) is not None}
    schedule = _schedule(config, found.schedule)
    # A learning rate that was given is that of all streams.
    own = {} if schedule != found.schedule else dict(found.schedules)
    changed = {"seed": config.seed, "rescale": config.rescale, "compile": config.compile}
    return replace(found, **{"chunk": chunk, **given, **changed, "schedule": schedule, "schedules": own})


def run_settings(
    config: End2EndTrainConfig, model: VideoNetwork, parts: Parts, settings: Settings, input: dict[str, Any]
) -> dict[str, Any]:
    """All that determines the result, by the names of the options where there is one: what a resumed run must share."""
    said = {flag_of(name)[2:]: value for name, value in as_json(config).items() if name not in _FREE}
    for name, value in settings.as_dict().items():
        flag = next((flag_of(option)[2:] for option, setting in _CHANGES.items() if setting == name), None)
        if flag in said:
            said[flag] = value
    identities = {
        {"rgb": "weights", "flow": "flow-weights"}[name]: stream.frames.identity.get("weights")
        for name, stream in model.streams.items()
        if stream.frames is not None
    }
    return {
        **said,
        **resolved_end(config, settings),
        **identities,
        **(input["flow"]["complete"] if input.get("flow") else {}),
        **({"features": input["features"]} if "features" in input else {}),
        "split": parts.split,
        "items": parts.sha256[:16],
    }


def resolved_end(config: End2EndTrainConfig, settings: Settings) -> dict[str, float]:
    """The last learning rate, where it follows from a first one that was given."""
    end = settings.schedule.end
    return {"lr-end": end} if config.lr is not None and config.lr_end is None and end is not None else {}


def sha256_of(ids: list[str]) -> str:
    """As ``vidfeat svm train`` tells which items it was trained on."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def _schedule(config: End2EndTrainConfig, before: Schedule) -> Schedule:
    kind = config.schedule or ("steps" if config.lr_epochs else "log" if config.lr_end else before.kind)
    lr = config.lr or before.lr
    if config.lr_end is not None and kind != "log":
        raise UsageError(f"--lr-end {config.lr_end:g} has no effect with --schedule {kind}, only with log.")
    if config.lr_epochs and kind != "steps":
        raise UsageError(f"--lr-at {config.lr_at} has no effect with --schedule {kind}, only with steps.")
    if kind == "log":
        share = before.end / before.lr if before.end else 0.01  # another --lr falls as far as the preset's
        return Schedule(lr, "log", end=config.lr_end or lr * share)
    if kind == "steps":
        if not config.lr_epochs and before.kind != "steps":
            raise UsageError("--schedule steps needs the epochs of the steps: --lr-at 30,50.")
        at = config.lr_epochs or before.at
        return Schedule(lr, "steps", at=at) if at else Schedule(lr, "steps", every=before.every)
    return Schedule(lr)
