"""Flow in few bits: grey levels 0…255 of a bounded field, as flow images hold them, and half precision."""

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.flow.checks import positive

# Pixels at a time: the float32 copy of this many stays in the processor's cache.
_CHUNK = 1 << 16

_HINT = ", in pixels, such as 20"


def quantise(flow: np.ndarray, bound: float) -> np.ndarray:
    """Clip to ±bound, map linearly to 0…255, round half up:

        q = ⌊(clip(u, −bound, bound) + bound) · 255 / (2·bound) + ½⌋

    Zero flow is 127.5 before rounding, so 128; −bound is 0, bound 255.

    Args:
        flow: any shape, floating point, pixels.
        bound: pixels, > 0; 20 is two-stream practice.

    Returns:
        uint8, the shape of ``flow``.

    Raises:
        UsageError: the bound is not above 0, or the flow not finite.

    Source of the map: L. Wang et al., *Temporal Segment Networks*, 2016 (flow as images, linear in ±20 pixels).
    """
    flow, bound = _real(flow), positive("bound", bound, _HINT)
    levels = np.empty(flow.shape, np.uint8)
    source, target = flow.reshape(-1), levels.reshape(-1)
    scale, limit = np.float32(127.5 / bound), np.float32(bound)
    for start in range(0, source.size, _CHUNK):
        part = source[start : start + _CHUNK].astype(np.float32)
        np.clip(part, -limit, limit, out=part)
        part *= scale
        # u·scale + 127.5 + ½ in one sum: exactly 128 for zero, whatever the bound. The cast truncates, as it is ≥ 0.
        part += np.float32(128)
        target[start : start + _CHUNK] = part
    return levels


def dequantise(levels: np.ndarray, bound: float) -> np.ndarray:
    """The inverse, float32 pixels: u = (q − 127.5) · 2·bound/255, the middle of what became q.

    A component within ±bound comes back with an error of at most half a level, bound/255 (0.078 pixels for 20), and
    float32 rounding. No level stands for zero: zero flow comes back as +bound/255.

    Raises:
        UsageError: the bound is not above 0, or ``levels`` not uint8.
    """
    bound, levels = positive("bound", bound, _HINT), np.asarray(levels)
    if levels.dtype != np.uint8:
        raise UsageError(f"the levels are {levels.dtype}; quantised flow is uint8. Flow in pixels needs no inverse.")
    # From a table: its 256 entries are computed in double precision, and looking up is faster than arithmetic.
    table = ((np.arange(256) - 127.5) * (2 * bound / 255)).astype(np.float32)
    return table[levels]


def to_float16(flow: np.ndarray) -> np.ndarray:
    """Half precision: a relative error of at most 2⁻¹¹, so 0.002 pixels at 4 pixels and 0.008 at 20.

    Raises:
        UsageError: a component is not finite, or beyond ±65504 pixels, the range of the type.
    """
    flow, most = _real(flow), float(np.finfo(np.float16).max)
    largest = float(np.abs(flow).max(initial=0.0))
    if largest > most:
        raise UsageError(
            f"the flow reaches {largest:g} pixels, but float16 holds {most:g} at most; keep it as float32."
        )
    return flow.astype(np.float16)


def _real(flow: np.ndarray) -> np.ndarray:
    flow = np.asarray(flow)
    if flow.dtype.kind != "f":
        raise UsageError(f"the flow is {flow.dtype}; it must be floating point, in pixels.")
    # A sum is finite unless a component is not, or it overflows: one pass without a mask in the usual case.
    if not np.isfinite(flow.sum(dtype=np.float64)) and not np.isfinite(flow).all():
        raise UsageError(
            f"the flow holds {int((~np.isfinite(flow)).sum())} components that are NaN or infinite; every one must be "
            "finite. Unknown vectors of a ground truth have to be replaced first."
        )
    return flow
