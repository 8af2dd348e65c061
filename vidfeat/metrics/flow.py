"""Errors of optical flow against a ground truth."""

import numpy as np

from vidfeat.errors import UsageError

UNKNOWN = 1e9  # pixels; a ground truth marks vectors that are not known by larger components


def known_flow(flow) -> np.ndarray:
    """Where a field ``[…, 2, H, W]`` is known: both components within ±1e9 and not NaN. Bool ``[…, H, W]``."""
    flow = _field("flow", flow)
    return (np.abs(flow) <= UNKNOWN).all(axis=-3)


def endpoint_errors(flow, truth) -> np.ndarray:
    """Length of the difference ‖u − t‖₂ in pixels at every pixel, NaN where the truth is not known.

    Args:
        flow, truth: ``[…, 2, H, W]`` pixels, of one shape.

    Returns:
        ``[…, H, W]`` float64.
    """
    flow, truth = _field("flow", flow), _field("truth", truth)
    if flow.shape != truth.shape:
        raise UsageError(
            f"flow has shape {list(flow.shape)}, its ground truth {list(truth.shape)}; allowed is one shape "
            "[…, 2, H, W]. Resizing a field has to rescale its vectors too."
        )
    known = known_flow(truth)
    difference = np.where(known[..., None, :, :], flow - truth, np.nan)
    return np.sqrt(np.square(difference).sum(axis=-3))


def endpoint_error(flow, truth) -> float:
    """Mean of :func:`endpoint_errors` over the pixels whose truth is known; NaN if there is none, or the flow has NaN.

    Source: S. Baker, D. Scharstein, J. P. Lewis, S. Roth, M. J. Black, R. Szeliski, *A Database and Evaluation
    Methodology for Optical Flow*, 2011.
    """
    errors = endpoint_errors(flow, truth)[known_flow(truth)]
    return float(errors.mean()) if errors.size else float("nan")


def _field(name: str, flow) -> np.ndarray:
    flow = np.asarray(flow, dtype=np.float64)
    if flow.ndim < 3 or flow.shape[-3] != 2:
        raise UsageError(f"{name} has shape {list(flow.shape)}; a field of flow is […, 2, H, W], x before y.")
    return flow
