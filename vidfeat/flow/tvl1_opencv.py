"""TV-L1 by OpenCV's own ``DualTVL1OpticalFlow``, of its contributed modules: the reference of the other backends."""

import numpy as np

from vidfeat.flow.cv import cv_threads, optflow
from vidfeat.flow.parameters import TVL1Parameters


def flow_fields(
    prev: np.ndarray, next: np.ndarray, parameters: TVL1Parameters, threads: int | None = None
) -> tuple[np.ndarray, None]:
    """Fields of N pairs, one after the other.

    Args:
        prev, next: ``[N, H, W]`` float32 grey levels 0…255.
        parameters: of the method.
        threads: of OpenCV; None for as many as it is set to use.

    Returns:
        (flow ``[N, 2, H, W]`` float32 pixels, None: OpenCV does not tell its iterations).

    Raises:
        UsageError: this OpenCV has no ``optflow``.
    """
    # One for each call: a small picture lowers the number of scales of OpenCV's object for good.
    solver = _solver(parameters)
    flow = np.empty((len(prev), 2, *prev.shape[1:]), np.float32)
    with cv_threads(threads):
        for field, first, second in zip(flow, prev, next, strict=True):
            field[...] = solver.calc(*_as_opencv_takes_them(first, second), None).transpose(2, 0, 1)
    return flow, None


def _solver(parameters: TVL1Parameters):
    solver = optflow().DualTVL1OpticalFlow_create()
    solver.setTau(parameters.tau)
    solver.setLambda(parameters.lambda_)
    solver.setTheta(parameters.theta)
    solver.setScalesNumber(parameters.scales)
    solver.setScaleStep(parameters.scale_step)
    solver.setWarpingsNumber(parameters.warps)
    solver.setEpsilon(parameters.epsilon)
    solver.setInnerIterations(parameters.inner_iterations)
    solver.setOuterIterations(parameters.outer_iterations)
    solver.setMedianFiltering(parameters.median_filter)
    solver.setGamma(0.0)
    solver.setUseInitialFlow(False)
    return solver


def _as_opencv_takes_them(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both images as uint8 where all their levels are whole, else as floats 0…1, which OpenCV multiplies by 255."""
    whole = first.astype(np.uint8), second.astype(np.uint8)
    if (whole[0] == first).all() and (whole[1] == second).all():
        return whole
    return first / np.float32(255), second / np.float32(255)
