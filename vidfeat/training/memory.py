"""How many frames fit through the network at once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vidfeat.errors import VidfeatError
from vidfeat.networks.backbone import FrameNetwork

# Of the free memory: the rest is for the frame vectors, the head, and what a library takes to work with.
_SHARE = 0.5
# What is not kept for the backward pass, but is there for a moment (the gradients on their way).
_PASSING = 2.0
# More frames at once make nothing faster.
_MOST = {"cpu": 64, "cuda": 1024}


class ChunkMemoryError(VidfeatError):
    """The frames of a chunk do not fit, nor did half of them."""


def suggested_chunk(network: FrameNetwork, device: torch.device, autocast: torch.dtype | None = None) -> int:
    """Frames per chunk, by what a frame keeps for the backward pass and the free memory; a power of two."""
    per_frame = bytes_per_frame(network, device, autocast)
    fit = int(free_memory(device) * _SHARE / max(per_frame * _PASSING, 1.0))
    return 1 << (max(1, min(fit, _MOST.get(device.type, 64))).bit_length() - 1)


def bytes_per_frame(network: FrameNetwork, device: torch.device, autocast: torch.dtype | None = None) -> int:
    """Bytes that one more frame keeps for the backward pass."""
    found = []
    for frames in (1, 2):
        with kept_bytes() as count, torch.autocast(device.type, autocast, enabled=autocast is not None):
            side = network.input_spec.size
            pixels = torch.zeros(frames, network.channels, side, side, dtype=torch.uint8, device=device)
            network(pixels, torch.arange(frames, device=device)).sum()
        found.append(sum(count.values()))
    return max(found[1] - found[0], 1)


@contextmanager
def kept_bytes() -> Iterator[dict[int, int]]:
    """Storage -> bytes of the tensors that operations in this block keep for the backward pass."""
    kept: dict[int, int] = {}
    alive = []  # so that no address is used twice

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        # Detached: a saved result that knew its graph would hold it for ever.
        alive.append(value.detach())
        return alive[-1]

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        yield kept
    alive.clear()


def free_memory(device: torch.device) -> int:
    """Bytes that can be had on a device now."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 4 << 30


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the host, had no memory left for a tensor."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("DefaultCPUAllocator" in text or "can't allocate memory" in text)
    )


def release(device: torch.device) -> None:
    """Give cached memory back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def trains(network: nn.Module | None) -> bool:
    """Whether any parameter of a network takes a gradient."""
    return network is not None and any(value.requires_grad for value in network.parameters())
