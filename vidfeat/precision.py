"""Devices and the arithmetic that runs on them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vidfeat.errors import UsageError

# Requested precision -> type of activations and weights.
PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def check_device(name: str) -> torch.device:
    """``cpu``, ``cuda`` or ``cuda:N`` as a device that is there; UsageError otherwise."""
    kind, colon, index = name.partition(":")
    if name == "cpu":
        return torch.device("cpu")
    if kind != "cuda" or (colon and not index.isdecimal()):
        raise UsageError(f"unknown device {name!r}; allowed are cpu, cuda and cuda:N.")
    if not torch.cuda.is_available():
        raise UsageError(
            f"device {name!r} was asked for, but torch {torch.__version__} sees no CUDA GPU here; "
            "use --device cpu, or check the driver and CUDA_VISIBLE_DEVICES."
        )
    count = torch.cuda.device_count()
    number = int(index) if index else torch.cuda.current_device()
    if number >= count:
        raise UsageError(f"device {name!r} was asked for, but there are {count} GPUs: cuda:0 to cuda:{count - 1}.")
    return torch.device("cuda", number)


def check_precision(name: str, device: torch.device) -> torch.dtype:
    """Type of the weights and activations for a precision; UsageError if the device does not do it."""
    if name not in PRECISIONS:
        raise UsageError(f"unknown precision {name!r}; allowed are {', '.join(PRECISIONS)}.")
    if device.type == "cpu" and name in ("tf32", "fp16"):
        raise UsageError(f"precision {name!r} needs a GPU; on a CPU use fp32, or bf16 where the processor has it.")
    return PRECISIONS[name]


@contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Inference, with :func:`products` of that precision."""
    with products(precision, device), torch.inference_mode():
        yield


@contextmanager
def products(precision: str, device: torch.device) -> Iterator[None]:
    """Float32 products and convolutions in TF32 only if that was asked for.

    torch rounds the inputs of float32 convolutions to TF32 (10 bits) by default on a GPU, and a caller may have allowed
    the like for products anywhere: fp32 means fp32 here. The process-wide switches are put back at once.
    """
    mode = "tf32" if precision == "tf32" else "ieee"
    switches = _switches(device)
    before = [getattr(owner, name) for owner, name in switches]
    try:
        for owner, name in switches:
            setattr(owner, name, mode if name == "fp32_precision" else mode == "tf32")
        yield
    finally:
        for (owner, name), value in zip(switches, before, strict=True):
            setattr(owner, name, value)


def _switches(device: torch.device) -> list[tuple[object, str]]:
    backends = torch.backends
    # torch 2.9 replaced allow_tf32 by fp32_precision, and refuses to read the old names once the new ones were set.
    if hasattr(backends.cuda.matmul, "fp32_precision"):
        owners = [backends.cuda.matmul, backends.cudnn.conv]
        if device.type == "cpu":
            owners = [backends.mkldnn.matmul, backends.mkldnn.conv]
        return [(owner, "fp32_precision") for owner in owners]
    return [(backends.cuda.matmul, "allow_tf32"), (backends.cudnn, "allow_tf32")] if device.type == "cuda" else []
