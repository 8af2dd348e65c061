"""RAFT, the recurrent network for optical flow, as torchvision has it.

Source: Z. Teed, J. Deng, *RAFT: Recurrent All-Pairs Field Transforms for Optical Flow*, 2020.
"""

import math
import threading
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import pad
from torchvision.models import optical_flow

from vidfeat.crew import torch_threads
from vidfeat.errors import ItemError, UsageError
from vidfeat.flow.base import FlowMethod, check_names
from vidfeat.flow.checks import whole
from vidfeat.precision import arithmetic, check_device
from vidfeat.weights.draws import fill_uniform
from vidfeat.weights.files import read_state, shape_text, some_names
from vidfeat.weights.sources import Weights, find_weights

MODELS = ("large", "small")
_DEFAULTS = {"model": "large", "weights": "DEFAULT", "updates": 12, "seed": 0}

# The network works on an eighth of the size, and halves that three times where it compares all positions with all.
_STEP, _LEAST = 8, 128

# Bytes of those comparisons that one batch of pairs takes, and what a single pair may take on a CPU.
_BATCH_BYTES = {"cpu": 1 << 26, "cuda": 1 << 31}
_MOST_BYTES = 1 << 34


class RAFT(FlowMethod):
    """torchvision's ``raft_large`` or ``raft_small``.

    Settings: ``model`` (large or small); ``weights``: torchvision's name for an entry (``DEFAULT``, ``C_T_V2``, …), a
    file (``.pth``, ``.safetensors``, …), or ``none`` for values drawn from ``seed``; ``updates``, the number of
    refinements, 12 by default. In ``settings`` the weights are the SHA-256 of their file.

    Frames are mapped to −1…1 and continued over their borders by their outermost pixels, evenly on both sides, to
    multiples of 8 and at least 128 pixels; the field is cut back.
    """

    name, wants = "raft", "rgb"

    def __init__(self, device: str, threads: int | None, **given: Any) -> None:
        options = _options(given)
        weights = _weights(options)
        self.settings, self.device = _settings(options, weights), device
        self.weights_name = weights.name
        self._device, self._threads, self._updates = check_device(device), threads, options["updates"]
        self._network = _network(options["model"], weights).to(self._device)
        # The network keeps what it compares from one line of its code to the next: one caller at a time.
        self._lock = threading.Lock()

    @classmethod
    def complete(cls, **given: Any) -> dict[str, Any]:
        options = _options(given)
        return _settings(options, _weights(options))

    def _fields(self, frames: np.ndarray) -> np.ndarray:
        count, height, width = frames.shape[:3]
        left, right = _margins(width)
        top, bottom = _margins(height)
        places = (height + top + bottom) * (width + left + right) // _STEP**2
        bytes_of_pair = places**2 * 4 * 4 // 3  # the pyramid of comparisons: 1 + 1/4 + 1/16 + 1/64
        if self._device.type == "cpu" and bytes_of_pair > _MOST_BYTES:
            raise _too_large(width, height, f"takes {bytes_of_pair / 2**30:.0f} GB of memory")
        batch = max(1, _BATCH_BYTES[self._device.type] // bytes_of_pair)
        flow = np.empty((count - 1, 2, height, width), np.float32)
        with self._lock, torch_threads(self._threads), arithmetic("fp32", self._device):
            for start in range(0, count - 1, batch):
                stop = min(start + batch, count - 1)
                pixels = torch.from_numpy(np.require(frames[start : stop + 1], requirements=["C", "W"]))
                try:
                    pixels = pixels.to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1
                    pixels = pad(pixels, (left, right, top, bottom), mode="replicate")
                    fields = self._network(pixels[:-1], pixels[1:], num_flow_updates=self._updates)[-1]
                except torch.OutOfMemoryError as error:
                    raise _too_large(width, height, f"does not fit into the memory of {self.device}") from error
                flow[start:stop] = fields[..., top : top + height, left : left + width].cpu().numpy()
        return flow


def _options(given: dict[str, Any]) -> dict[str, Any]:
    check_names(RAFT.name, given, list(_DEFAULTS))
    options = {**_DEFAULTS, **given}
    if options["model"] not in MODELS:
        raise UsageError(f"model is {options['model']!r}; raft has {' and '.join(MODELS)}.")
    for name, least in (("updates", 1), ("seed", 0)):
        options[name] = whole(name, options[name], least)
    options["weights"] = str(options["weights"])
    return options


def _weights(options: dict[str, Any]) -> Weights:
    return find_weights(f"raft_{options['model']}", options["weights"], options["seed"], "--raft-weights")


def _settings(options: dict[str, Any], weights: Weights) -> dict[str, Any]:
    return {"model": options["model"], "weights": weights.identity, "updates": options["updates"]}


def _network(model: str, weights: Weights) -> nn.Module:
    """The network in eval mode with its values, on the CPU; UsageError if they do not fit."""
    with torch.device("meta"):  # shapes alone: torchvision's own initial values would be thrown away
        network = getattr(optical_flow, f"raft_{model}")(weights=None, progress=False)
    expected = network.state_dict()
    if weights.path is None:
        state = {name: _drawn(name, value, weights.seed) for name, value in expected.items()}
    else:
        state = read_state(weights.path)
        # Of no effect, and not in every file.
        counters = [name for name in expected if name.endswith("num_batches_tracked")]
        state = {**dict.fromkeys(counters, torch.tensor(0)), **state}
        _check_state(model, weights, state, expected)
    # Copies: what read_state gives may be mapped from a file that somebody rewrites.
    values = {name: state[name].to(value.dtype, copy=True) for name, value in expected.items()}
    network.load_state_dict(values, assign=True)
    return network.eval().requires_grad_(False)


def _check_state(model: str, weights: Weights, state: dict, expected: dict) -> None:
    problems = []
    if set(expected) - set(state):
        problems.append(f"missing: {some_names(set(expected) - set(state))}")
    if set(state) - set(expected):
        problems.append(f"unexpected: {some_names(set(state) - set(expected))}")
    both = set(state) & set(expected)
    wrong = [name for name in both if state[name].shape != expected[name].shape]
    if wrong:
        described = [f"{n} is {shape_text(state[n])} instead of {shape_text(expected[n])}" for n in wrong]
        problems.append(f"of another shape: {some_names(described)}")
    if problems:
        other = next(name for name in MODELS if name != model)
        raise UsageError(
            f"weights {weights.name!r} do not fit torchvision's raft_{model}: {'; '.join(problems)}. They may be for "
            f"model={other!r}; files of RAFT's authors name their parts in another way and have to be converted."
        )
    wild = [name for name in both if not bool(torch.isfinite(state[name]).all())]
    if wild:
        raise UsageError(
            f"weights {weights.name!r} hold values that are not finite in {some_names(wild)}; choose other weights."
        )


def _drawn(name: str, like: torch.Tensor, seed: int) -> torch.Tensor:
    """A seeded value: kernels of variance 2/fan_in (almost all stand before or behind a ReLU), biases and means 0,
    norms and variances 1."""
    if like.ndim < 2:
        one = name.endswith(("weight", "running_var"))
        return torch.full(like.shape, float(one), dtype=like.dtype, device="cpu")
    values = np.empty(like.numel(), np.float32)
    fill_uniform(values, name, seed, math.sqrt(6.0 / like[0].numel()))
    return torch.from_numpy(values).view(like.shape)


def _margins(side: int) -> tuple[int, int]:
    """Pixels before and behind a side that make it a multiple of 8 and at least 128."""
    missing = max(_LEAST, -(-side // _STEP) * _STEP) - side
    return missing // 2, missing - missing // 2


def _too_large(width: int, height: int, why: str) -> ItemError:
    return ItemError(f"raft compares all positions of a pair, which {why} for {width}x{height} pixels; resize first.")
