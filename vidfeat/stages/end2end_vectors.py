"""The vectors of frames, as a trained network sees them, in a features file for the stages that take one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vidfeat import __version__
from vidfeat.datasets.items import Item
from vidfeat.errors import UsageError
from vidfeat.precision import products
from vidfeat.stages.config.end2end import End2EndPredictConfig
from vidfeat.stages.end2end_clips import CENTRE
from vidfeat.stages.end2end_decode import FLOW, times_of
from vidfeat.stages.end2end_input import PixelSource
from vidfeat.stages.recorder import source_attrs
from vidfeat.store import FeatureWriter
from vidfeat.training import Trainer
from vidfeat.weights.files import file_sha256


def write_vectors(
    config: End2EndPredictConfig, meta: dict[str, Any], trainer: Trainer, source: PixelSource, items: Sequence[Item]
) -> None:
    """``frames`` and ``flow.frames`` of every item, with the times and indices of the frames they begin with.

    Raises:
        UsageError: the file is there already.
    """
    if config.vectors.exists() and not config.overwrite:
        raise UsageError(f"{config.vectors} exists already. Choose another file, or give --overwrite to replace it.")
    settings = {"network": file_sha256(config.run / "best.safetensors"), **_plain(meta["input"])}
    # Nothing remains of an earlier attempt: its vectors may be those of another network.
    with FeatureWriter(config.vectors, settings, {"vidfeat": __version__}, overwrite=True) as writer:
        for item in items:
            clips = source.clips(item, CENTRE)
            frames, times = times_of(source.supply.get(item.id))
            with torch.inference_mode(), products("fp32", trainer.world.device):
                found = writer.item(item.id)
                for name, clip in clips.items():
                    prefix = "flow." if name == FLOW else ""
                    first = np.arange(len(clip)) * (source.stride if name == FLOW else 1)
                    found.append(f"{prefix}frames", _vectors(trainer, name, clip))
                    found.append(f"{prefix}time", times[first])
                    found.append(f"{prefix}frame", frames[first])
                there = source_attrs(item)
                found.finish({**there, "state": "done"}, labels=item.labels, group=item.group, splits=item.splits)


def _vectors(trainer: Trainer, stream: str, clip: Any) -> np.ndarray:
    """float32 ``[T, D]``."""
    network, chunk = trainer.model.streams[stream].frames.eval(), trainer.stepper.two_pass.chunk
    device = trainer.world.device
    parts = [network(clip[start : start + chunk].to(device)).float().cpu() for start in range(0, len(clip), chunk)]
    return torch.cat(parts).numpy()


def _plain(input: dict[str, Any]) -> dict[str, Any]:
    """Flat settings."""
    found = {}
    for name, value in input.items():
        found |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return found
