"""What multiple-kernel learning sees of the nodes of one stream: combined kernels, and products with coefficients.

Every node n has a kernel κ_n, divided by its trace per training item, so that scale does not decide weights:
κ_nm / (√(tr κ_nn · tr κ_mm) / n_train), traces over training items. With weights β

    concatenation:  K = Σ_n β_n κ_nn             averaging:  K = Σ_nm β_n β_m κ_nm

For coefficients a_c = Y_c α_c ``[machines, items]`` a space gives the falls −∂J/∂β_n of each machine,

    concatenation:  q_n = ½ aᵀ κ_nn a            averaging:  (Mβ)_n = aᵀ (Σ_m β_m κ_nm) a

and the turns V_n = (∂K/∂β_n) a, which the second derivative is made of.
"""

from itertools import pairwise
from typing import Protocol

import numpy as np

from vidfeat.errors import UsageError

_NO_SCALE = 1e-13  # of the whole second moment: less is rounding

CONCATENATION, AVERAGING = "concatenation", "averaging"


class Nodes(Protocol):
    """A stream: ``n_items`` training items, ``n_nodes`` kernels."""

    n_items: int
    n_nodes: int
    scales: np.ndarray  # [nodes] trace per training item of every kernel as it came

    def gram(self, beta: np.ndarray) -> np.ndarray:
        """K ``[n, n]`` of the training items."""

    def look(self, beta: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Falls ``[machines, nodes]`` and turns ``[machines, nodes, n]`` for coefficients ``A [machines, n]``."""

    def cross(self, A: np.ndarray) -> np.ndarray:
        """M ``[nodes, nodes]``, M_nm = Σ_c a_cᵀ κ_nm a_c, of averaging."""


def checked_scales(scales: np.ndarray, whole: np.ndarray | None = None) -> np.ndarray:
    """The traces per item; UsageError naming the first node that has none."""
    floor = 0.0 if whole is None else _NO_SCALE * whole
    bad = np.flatnonzero(~(scales > floor))
    if len(bad):
        raise UsageError(
            f"Node {bad[0]} (from 0) says nothing: its kernel has trace {scales[bad[0]]:g} over the training items. "
            "Leave the node out, or check the features (are they constant, or zero?)."
        )
    return scales


class Streams:
    """Several streams as one: K is the sum of theirs, weights stand side by side."""

    def __init__(self, streams: list[Nodes]):
        self.streams = streams
        edges = np.cumsum([0, *(stream.n_nodes for stream in streams)])
        self.places = [np.arange(a, b) for a, b in pairwise(edges)]
        self.n_items, self.n_nodes = streams[0].n_items, int(edges[-1])
        self.scales = np.concatenate([stream.scales for stream in streams])

    def gram(self, beta: np.ndarray) -> np.ndarray:
        parts = zip(self.streams, self.places, strict=True)
        return sum(stream.gram(beta[place]) for stream, place in parts)

    def look(self, beta: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = [stream.look(beta[place], A) for stream, place in zip(self.streams, self.places, strict=True)]
        falls, turns = zip(*parts, strict=True)
        return np.concatenate(falls, axis=1), turns[0] if len(turns) == 1 else np.concatenate(turns, axis=1)

    def cross(self, A: np.ndarray) -> np.ndarray:
        M = np.zeros((self.n_nodes, self.n_nodes))
        for stream, place in zip(self.streams, self.places, strict=True):
            M[np.ix_(place, place)] = stream.cross(A)
        return M
