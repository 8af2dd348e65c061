"""TV-L1 on CUDA with Triton: batches of pairs, the stopping rule of each pair decided on the device.

Interpreted and compiled, not yet run on a GPU.

A level takes a few launches for all pairs (resize, gradient) and two for each warp: one warps the second image, the
other does all iterations of that warp (:func:`~vidfeat.flow.triton_tvl1.solve_kernel`). The host only launches, some
sixty kernels whatever the number of iterations, and never waits.

The algorithm is OpenCV's (see :func:`~vidfeat.flow.tvl1_flow.tvl1`). Rounding differs: products and sums are fused,
square roots and divisions approximate to 2⁻²², the error is summed in another order. The iterations amplify that as
they amplify OpenCV's own choice of instructions, to some 0.01 pixels in the mean of a field.
"""

import torch

from vidfeat.flow.parameters import TVL1Parameters
from vidfeat.flow.triton_tvl1 import gradient_kernel, resize_kernel, solve_kernel, warp_kernel

# Smallest side of a level below the first, as in OpenCV.
SMALLEST = 16
# Launches of the kernels that touch every pixel once: a pixel for each thread.
ONCE = {"BLOCK": 256, "num_warps": 8, "enable_fp_fusion": True}
# Launches of the iterations. With two pixels for a thread the loads of one hide behind those of the other, but the
# median filter holds 14 values of each pixel, so it takes one. Then nothing spills in 64 registers, and two programs
# fit a multiprocessor: one works while the other waits at a barrier.
SOLVE = {"BLOCK": 1024, "FILTER_BLOCK": 512, "num_warps": 16, "maxnreg": 64, "enable_fp_fusion": True}
# Most programs on one pair, and fewest rows for each of them: fewer cost more in meetings than they save.
MOST_PROGRAMS, FEWEST_ROWS = 32, 4
# Most pixels of the pairs computed at a time: about 19 float32 values each, 2.5 GB. Most pairs: planes are counted in
# the second dimension of a grid, which has 16 bits.
PIXELS_AT_ONCE, PAIRS_AT_ONCE = 1 << 25, 1 << 14


def flow_fields(
    prev: torch.Tensor, next: torch.Tensor, parameters: TVL1Parameters
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fields of N pairs, on the device where the images lie; does not wait for it.

    Args:
        prev, next: ``[N, H, W]`` float32 grey levels 0…255, contiguous.
        parameters: of the method.

    Returns:
        (flow ``[N, 2, H, W]`` float32 pixels, iterations ``[N]`` int32, over all levels and warps).
    """
    pairs, height, width = prev.shape
    flow = prev.new_zeros(pairs, 2, height, width)
    iterations = torch.zeros(pairs, dtype=torch.int32, device=prev.device)
    at_once = max(1, min(PIXELS_AT_ONCE // (height * width), PAIRS_AT_ONCE))
    for start in range(0, pairs, at_once):
        part = slice(start, start + at_once)
        _coarse_to_fine(prev[part], next[part], flow[part], iterations[part], parameters)
    return flow, iterations


def level_shapes(height: int, width: int, parameters: TVL1Parameters) -> list[tuple[int, int]]:
    """(height, width) of the levels of the pyramid, the largest first."""
    shapes = [(height, width)]
    while len(shapes) < parameters.scales:
        height, width = (round(side * parameters.scale_step) for side in shapes[-1])
        if min(height, width) < SMALLEST:
            break
        shapes.append((height, width))
    return shapes


def _coarse_to_fine(
    prev: torch.Tensor, next: torch.Tensor, flow: torch.Tensor, iterations: torch.Tensor, parameters: TVL1Parameters
) -> None:
    """``flow`` and ``iterations``, both 0 before, of pairs that are computed together."""
    step = 1 / parameters.scale_step
    levels = [(prev, next)]
    for shape in level_shapes(*prev.shape[1:], parameters)[1:]:
        smaller = [prev.new_empty(len(prev), *shape) for _ in range(2)]
        for source, target in zip(levels[-1], smaller, strict=True):
            _resize(source, target, (step, step))
        levels.append(tuple(smaller))
    coarser = None
    while levels:
        first, second = levels.pop()
        u = flow.new_zeros(len(flow), 2, *first.shape[1:]) if levels else flow
        if coarser is not None:
            ratio = tuple(old / new for old, new in zip(coarser.shape[2:], u.shape[2:], strict=True))
            _resize(coarser, u, ratio, step)
        _solve_level(first, second, u, iterations, parameters)
        coarser = u


def _solve_level(
    first: torch.Tensor, second: torch.Tensor, u: torch.Tensor, iterations: torch.Tensor, parameters: TVL1Parameters
) -> None:
    """All warps of a level, u in place."""
    pairs, height, width = first.shape
    size = height * width
    shape = (height, width, _reciprocal(width))
    group = _programs(pairs, height, u.device)
    gradient, spare = torch.empty_like(u), torch.empty_like(u)
    p, field = u.new_zeros(pairs, 4, size), u.new_empty(pairs, 3, size)
    errors = u.new_empty(pairs, group)
    arrivals = torch.zeros(parameters.warps, pairs, dtype=torch.int32, device=u.device)
    numbers = (
        parameters.epsilon**2 * size,
        parameters.lambda_ * parameters.theta,
        parameters.tau / parameters.theta,
        parameters.theta,
        parameters.inner_iterations,
        parameters.inner_iterations * parameters.outer_iterations,
    )
    grid = _grid(size, pairs)
    gradient_kernel[grid](second, gradient, *shape, **ONCE)
    for warp in range(parameters.warps):
        warp_kernel[grid](first, second, gradient, u, field, *shape, **ONCE)
        solve_kernel[(pairs * group,)](
            *(u, p, field, spare, errors, arrivals[warp], iterations, *shape, *numbers),
            SIDE=parameters.median_filter,
            GROUP=group,
            launch_cooperative_grid=group > 1,
            **SOLVE,
        )


def _programs(pairs: int, height: int, device: torch.device) -> int:
    """Programs on a pair, a power of 2: more than one where there are fewer pairs than multiprocessors."""
    if device.type != "cuda":
        return 1
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    group = 1
    while 2 * group <= min(MOST_PROGRAMS, processors // pairs, height // FEWEST_ROWS):
        group *= 2
    return group


def _resize(source: torch.Tensor, target: torch.Tensor, ratio: tuple[float, float], factor: float = 1.0) -> None:
    """target = factor · source, ``[..., H, W]``; output k of an axis lies at (k + ½)·ratio − ½ of the input."""
    (height, width), (new_height, new_width) = source.shape[-2:], target.shape[-2:]
    tops, y_weights = _places(height, new_height, ratio[0], source.device)
    lefts, x_weights = _places(width, new_width, ratio[1], source.device)
    resize_kernel[_grid(new_height * new_width, target[..., 0, 0].numel())](
        *(source, target, lefts, x_weights, tops, y_weights, height, width),
        *(new_height, new_width, _reciprocal(new_width), factor),
        **ONCE,
    )


def _places(old: int, new: int, ratio: float, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(int32 index of the left neighbour, float32 weight of the right one) for each of ``new`` outputs."""
    place = ((torch.arange(new, dtype=torch.float64, device=device) + 0.5) * ratio - 0.5).clamp(0, old - 1)
    left = place.to(torch.int32)
    return left, (place - left).float()


def _grid(size: int, planes: int) -> tuple[int, int]:
    return -(-size // ONCE["BLOCK"]), planes


def _reciprocal(width: int) -> int:
    """Of :func:`~vidfeat.flow.triton_tvl1._row`."""
    return -(-(1 << 44) // width)
