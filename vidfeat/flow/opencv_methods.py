"""Two faster, coarser methods of OpenCV's: dense inverse search and polynomial expansion, both on a CPU."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import cv2
import numpy as np

from vidfeat.errors import ItemError, UsageError
from vidfeat.flow.base import FlowMethod, check_names
from vidfeat.flow.checks import fraction, positive, whole
from vidfeat.flow.cv import cv_threads

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


@dataclass(frozen=True)
class FarnebackParameters:
    """Parameters of ``cv2.calcOpticalFlowFarneback``, with the defaults of ``cv2.FarnebackOpticalFlow``.

    Attributes:
        pyr_scale: size of each level of the pyramid as a share of the one below it, 0 < pyr_scale < 1.
        levels: of the pyramid, ≥ 1.
        winsize: side in pixels of the averaging window, ≥ 1.
        iterations: at each level, ≥ 1.
        poly_n: side in pixels of the neighbourhood of the expansion, 5 or 7.
        poly_sigma: deviation in pixels of its Gaussian weights, > 0; 1.1 goes with 5, 1.5 with 7.
        gaussian: average with a Gaussian window instead of a box.

    Source: G. Farnebäck, *Two-Frame Motion Estimation Based on Polynomial Expansion*, 2003.
    """

    pyr_scale: float = 0.5
    levels: int = 5
    winsize: int = 13
    iterations: int = 10
    poly_n: int = 5
    poly_sigma: float = 1.1
    gaussian: bool = False

    def __post_init__(self) -> None:
        self._set("pyr_scale", fraction("pyr_scale", self.pyr_scale))
        self._set("poly_sigma", positive("poly_sigma", self.poly_sigma))
        for name in ("levels", "winsize", "iterations", "poly_n"):
            self._set(name, whole(name, getattr(self, name), 1))
        if self.poly_n not in (5, 7):
            raise UsageError(f"poly_n is {self.poly_n!r}; allowed are 5 and 7.")
        if not isinstance(self.gaussian, bool):
            raise UsageError(f"gaussian is {self.gaussian!r}; allowed are True and False.")

    def _set(self, name: str, value: float) -> None:
        object.__setattr__(self, name, value)


class DIS(FlowMethod):
    """Dense inverse search with one of OpenCV's presets, by default ``medium``, the most exact one.

    Source: T. Kroeger, R. Timofte, D. Dai, L. Van Gool, *Fast Optical Flow using Dense Inverse Search*, 2016.
    """

    name, wants = "dis", "grey"
    least_side = 12  # OpenCV's patches of 8 pixels need a pyramid of 12; it refuses smaller squares

    def __init__(self, device: str, threads: int | None, **given: Any) -> None:
        self.settings, self.device, self._threads = self.complete(**given), device, threads

    @classmethod
    def complete(cls, **given: Any) -> dict[str, Any]:
        check_names(cls.name, given, ["preset"])
        preset = given.get("preset", "medium")
        if preset not in PRESETS:
            raise UsageError(f"preset is {preset!r}; dis has {', '.join(PRESETS)}.")
        return {"preset": preset}

    def _fields(self, frames: np.ndarray) -> np.ndarray:
        preset = PRESETS[self.settings["preset"]]
        _check_dis_pyramid(preset, *frames.shape[1:3])
        # A new one for each pair: what it keeps of the last one spoils the next on small pictures.
        return _each_pair(
            frames, lambda prev, next: cv2.DISOpticalFlow_create(preset).calc(prev, next, None), self._threads
        )


def _check_dis_pyramid(preset: int, height: int, width: int) -> None:
    """ItemError for pictures so low for their width that OpenCV chooses a pyramid too deep for them, and crashes.

    It takes the depth from both sides, and if that is less than the preset's finest level, from the width alone.
    """
    solver = cv2.DISOpticalFlow_create(preset)
    patch, finest = solver.getPatchSize(), solver.getFinestScale()
    largest, smallest = max(height, width), min(height, width)
    depth = min(int(math.log2(largest / (4 * patch)) + 0.5), int(math.log2(smallest / patch)))
    if depth < finest and smallest >> max(0, int(math.log2(2 * width / (5 * patch)))) < patch:
        raise ItemError(
            f"dis cannot take pictures of {width}x{height} pixels, which are too low for their width: use another "
            "preset or method, or crop or enlarge them."
        )


class Farneback(FlowMethod):
    """Polynomial expansion, as OpenCV computes it."""

    name, wants = "farneback", "grey"

    def __init__(self, device: str, threads: int | None, **given: Any) -> None:
        self.settings, self.device, self._threads = self.complete(**given), device, threads

    @classmethod
    def complete(cls, **given: Any) -> dict[str, Any]:
        check_names(cls.name, given, [field.name for field in fields(FarnebackParameters)])
        return asdict(FarnebackParameters(**given))

    def _fields(self, frames: np.ndarray) -> np.ndarray:
        numbers = {name: value for name, value in self.settings.items() if name != "gaussian"}
        flags = cv2.OPTFLOW_FARNEBACK_GAUSSIAN if self.settings["gaussian"] else 0
        return _each_pair(
            frames,
            lambda prev, next: cv2.calcOpticalFlowFarneback(prev, next, None, **numbers, flags=flags),
            self._threads,
        )


def _each_pair(
    frames: np.ndarray, solve: Callable[[np.ndarray, np.ndarray], np.ndarray], threads: int | None
) -> np.ndarray:
    """``solve`` of frames k and k + 1, ``[H, W, 2]``, for all k."""
    frames = np.ascontiguousarray(frames)
    flow = np.empty((len(frames) - 1, 2, *frames.shape[1:]), np.float32)
    with cv_threads(threads):
        for k, field in enumerate(flow):
            field[...] = solve(frames[k], frames[k + 1]).transpose(2, 0, 1)
    return flow
