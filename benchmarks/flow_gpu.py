"""The part of benchmarks/flow.py that needs a GPU."""

import time

import numpy as np
from flow_data import pairs

from vidfeat.flow import TVL1Parameters

BATCHES = (1, 8, 32, 128)
# Numbers that an iteration moves per pixel at least, if nothing of it stays on the chip between launches: u, p, ∇W, ρ_c
# read, u and p written.
_NUMBERS = 6 + 3 + 6


def on_gpu(name: str, repeats: int) -> dict:
    """Pairs per second by batch size, the share of the bandwidth bound, and the difference to the CPU's field."""
    import torch

    from vidfeat.flow import tvl1_numba, tvl1_triton

    prev, after = pairs(name)
    result = {}
    for batch in BATCHES:
        index = np.arange(batch) % len(prev)
        first, second = (torch.from_numpy(frames[index]).cuda() for frames in (prev, after))
        flow, iterations = tvl1_triton.flow_fields(first, second, TVL1Parameters())
        seconds = []
        for _ in range(repeats):
            torch.cuda.synchronize()
            start = time.perf_counter()
            tvl1_triton.flow_fields(first, second, TVL1Parameters())
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        median = sorted(seconds)[len(seconds) // 2]
        # Levels shrink by 0.64 in area; iterations are spread evenly over them at a guess.
        pixels = prev[0].size * (1 - 0.64**5) / 0.36 / 5
        least = 4 * _NUMBERS * pixels * float(iterations.double().sum()) / bandwidth()
        result[f"batch={batch}"] = {
            "pairs_per_second": batch / median,
            "seconds": median,
            "bandwidth_bound_share": least / median,
            "iterations": float(iterations.double().mean()),
        }
    ours, _ = tvl1_numba.flow_fields(prev, after, TVL1Parameters())
    apart = np.linalg.norm(flow.cpu().numpy()[: len(prev)] - ours[: len(flow)], axis=1)
    return {**result, "difference_to_cpu_px": float(apart.mean())}


def bandwidth() -> float:
    """Bytes per second of a large copy on this GPU."""
    import torch

    source = torch.empty(1 << 28, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(10):
        target.copy_(source)
    torch.cuda.synchronize()
    return 10 * 2 * 4 * source.numel() / (time.perf_counter() - start)
