"""TV-L1 as a flow method."""

from dataclasses import asdict
from typing import Any

import numpy as np

from vidfeat.flow.base import FlowMethod
from vidfeat.flow.parameters import TVL1Parameters
from vidfeat.flow.tvl1_flow import check_backend, choose_backend, load_backend, tvl1


class TVL1(FlowMethod):
    """:func:`~vidfeat.flow.tvl1_flow.tvl1` of consecutive frames.

    The settings tell OpenCV's implementation from ours, but not the CPU's from the GPU's, so that a run begun on one
    may end on the other.
    """

    name, wants = "tvl1", "grey"

    def __init__(self, device: str, threads: int | None, backend: str | None = None, **given: Any) -> None:
        self.settings, self.device, self._threads = self.complete(backend, **given), device, threads
        self._backend, self._given = choose_backend(device, backend), given
        module = load_backend(self._backend)
        if self._backend == "numba":
            module.prepare()  # now, and not at the first frames, when rates are measured and Ctrl-C would have to wait

    @classmethod
    def complete(cls, backend: str | None = None, **given: Any) -> dict[str, Any]:
        if backend is not None:
            check_backend(backend)
        implementation = "opencv" if backend == "opencv" else "vidfeat"
        return {"implementation": implementation, **asdict(TVL1Parameters.of(**given))}

    def _fields(self, frames: np.ndarray) -> np.ndarray:
        return tvl1(frames[:-1], frames[1:], self.device, self._backend, threads=self._threads, **self._given)
