"""The whole state of a training run as one safetensors file: tensors by name, and the rest as JSON in its header."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidfeat.errors import UsageError
from vidfeat.weights.files import shape_text, some_names

FORMAT, VERSION = "vidfeat-training", 1
_MODEL, _MOMENTUM, _RNG = "model.", "momentum.", "rng."


@dataclass(frozen=True)
class Checkpoint:
    """A state between two steps.

    Attributes:
        model: parameters and statistics by name, on the CPU.
        momentum: SGD's, by parameter name.
        rng: states of torch's generators.
        epoch, position: the next step: this one of this epoch, counted from 0.
        steps: done so far.
        settings: of the run, plain values; resuming refuses others.
        about: whatever the caller keeps with it, plain values: how the network was made, classes, ….
        best: validation score of the best epoch, None before the first.
        best_epoch: that epoch, −1 before.
        history: records of the epochs done.
        partial: sums of the epoch that is under way.
        scaler: state of the gradient scaler.
        chunk: frames at once; the same again gives the same bits.
    """

    model: Mapping[str, Tensor]
    momentum: Mapping[str, Tensor] = field(default_factory=dict)
    rng: Mapping[str, Tensor] = field(default_factory=dict)
    epoch: int = 0
    position: int = 0
    steps: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    best: float | None = None
    best_epoch: int = -1
    history: tuple[Mapping[str, Any], ...] = ()
    partial: Mapping[str, float] = field(default_factory=dict)
    scaler: Mapping[str, float] = field(default_factory=dict)
    chunk: int | None = None

    def to_bytes(self) -> bytes:
        """The contents of a file. ValueError for NaN or infinity in what goes into the header."""
        from safetensors.torch import save

        tensors = {_MODEL + name: value for name, value in self.model.items()}
        tensors |= {_MOMENTUM + name: value for name, value in self.momentum.items()}
        tensors |= {_RNG + name: value for name, value in self.rng.items()}
        rest = {name: value for name, value in vars(self).items() if name not in ("model", "momentum", "rng")}
        header = json.dumps({"version": VERSION, **rest}, default=_plain, allow_nan=False)
        # Clones: safetensors refuses tensors that share memory.
        return save({name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
                     for name, value in tensors.items()}, {"format": FORMAT, "state": header})  # fmt: skip

    @classmethod
    def read(cls, path: Path | str) -> "Checkpoint":
        """The state in a file.

        Raises:
            UsageError: no such file, damaged, or something else.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path)
        if not path.is_file():
            raise UsageError(f"checkpoint {str(path)!r} does not exist.")
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise UsageError(f"checkpoint {str(path)!r} cannot be read: {error}. Use an older one.") from error
        if header.get("format") != FORMAT:
            raise UsageError(
                f"{str(path)!r} is no checkpoint of a training run: its header has no format {FORMAT!r}. Weights alone "
                "go to --weights."
            )
        state = json.loads(header["state"])
        if state.pop("version") != VERSION:
            raise UsageError(f"checkpoint {str(path)!r} is of another version of vidfeat; train anew.")
        state["history"] = tuple(state["history"])
        return cls(_below(tensors, _MODEL), _below(tensors, _MOMENTUM), _below(tensors, _RNG), **state)

    def load_model(self, model: nn.Module) -> None:
        """Give a network these values.

        Raises:
            UsageError: the network has other parameters.
        """
        expected = model.state_dict()
        problems = []
        if missing := set(expected) - set(self.model):
            problems.append(f"missing: {some_names(missing)}")
        if unexpected := set(self.model) - set(expected):
            problems.append(f"unexpected: {some_names(unexpected)}")
        wrong = [
            f"{name} is {shape_text(self.model[name])} instead of {shape_text(value)}"
            for name, value in expected.items()
            if name in self.model and self.model[name].shape != value.shape
        ]
        if wrong:
            problems.append(f"of another shape: {some_names(wrong)}")
        if problems:
            raise UsageError(
                f"the checkpoint does not fit the network: {'; '.join(problems)}. Use the backbone, pooling, streams "
                "and classes that it was trained with."
            )
        model.load_state_dict(dict(self.model))

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """UsageError, naming what differs, unless the run that goes on has the settings of the one that stopped."""
        free = {"chunk", "patience"}
        now = json.loads(json.dumps(settings, default=_plain))
        different = sorted(name for name in {*now, *self.settings} - free if now.get(name) != self.settings.get(name))
        if different:
            changes = ", ".join(f"{name} was {self.settings.get(name)!r}, is {now.get(name)!r}" for name in different)
            raise UsageError(
                f"the checkpoint comes from a run with other settings: {changes}. Restore them, or start anew."
            )


def model_state(model: nn.Module) -> dict[str, Tensor]:
    """Copies of a network's parameters and statistics on the CPU."""
    return {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON")
