"""What multiple-kernel learning sees of the nodes of one stream: combined kernels, and products with coefficients.

Every node n has a kernel κ_n, divided by its trace per training item, so that scale does not decide weights:
κ_nm / (√(tr κ_nn · tr κ_mm) / n_train), traces over training items. With weights β

    concatenation:  K = Σ_n β_n κ_nn             averaging:  K = Σ_nm β_n β_m κ_nm

For coefficients a_c = Y_c α_c ``[machines, items]`` a space gives the falls −∂J/∂β_n of each machine,

    concatenation:  q_n = ½ aᵀ κ_nn a            averaging:  (Mβ)_n = aᵀ (Σ_m β_m κ_nm) a

and the turns V_n = (∂K/∂β_n) a, which the second derivative is made of.

:class:`LinearNodes` holds no Gram matrix at all: with w_n = Ψ_nᵀ a everything is a product with Ψ_n ``[items, D]``.
"""

from itertools import pairwise
from typing import Protocol

import numpy as np

from vidfeat.errors import UsageError

# Numbers of scaled nodes that are in float64 side by side: 32 million, 256 MB.
_NUMBERS = 32 * 2**20
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


class LinearNodes:
    """Linear kernels between nodes ``[n, nodes, D]``."""

    def __init__(self, values: np.ndarray, combination: str, centre: bool):
        self.n_items, self.n_nodes, _ = values.shape
        self._values, self._averaging = values, combination == AVERAGING
        squares = np.empty(self.n_nodes)
        for node in range(self.n_nodes):
            own = self._node(node)
            squares[node] = (own**2).sum() - (self.n_items * (own.mean(axis=0) ** 2).sum() if centre else 0.0)
        self.scales = checked_scales(squares / self.n_items)

    def gram(self, beta: np.ndarray) -> np.ndarray:
        K = np.zeros((self.n_items, self.n_items))
        if self._averaging:
            mean = self._mean(beta)
            return np.matmul(mean, mean.T, out=K)
        active = np.flatnonzero(beta)
        step = max(1, _NUMBERS // (self.n_items * self._values.shape[2]))
        for at in range(0, len(active), step):
            nodes = active[at : at + step]
            block = self._values[:, nodes].astype(np.float64)
            block *= np.sqrt(beta[nodes] / self.scales[nodes])[:, None]
            block = block.reshape(self.n_items, -1)
            K += block @ block.T  # one and the same array: half the multiplications, and exactly symmetric
        return K

    def look(self, beta: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        falls = np.empty((len(A), self.n_nodes))
        turns = np.empty((len(A), self.n_nodes, self.n_items))
        if self._averaging:
            mean = self._mean(beta)
            towards = A @ mean  # Σ_n β_n w_n, [machines, D]
        for node in range(self.n_nodes):
            values = self._scaled(node)
            w = A @ values
            if self._averaging:
                falls[:, node] = (w * towards).sum(axis=1)
                turns[:, node] = towards @ values.T + w @ mean.T
            else:
                falls[:, node] = 0.5 * (w**2).sum(axis=1)
                turns[:, node] = w @ values.T
        return falls, turns

    def cross(self, A: np.ndarray) -> np.ndarray:
        w = np.stack([(A @ self._scaled(node)).ravel() for node in range(self.n_nodes)])
        return w @ w.T

    def weights(self, beta: np.ndarray, a: np.ndarray) -> np.ndarray:
        """``[nodes, D]``: the decision value of nodes ψ_n as they come is Σ_n ψ_n · weights_n, plus an intercept."""
        if self._averaging:
            return (beta / np.sqrt(self.scales))[:, None] * (a @ self._mean(beta))
        result = np.zeros(self._values.shape[1:])
        for node in np.flatnonzero(beta):
            result[node] = beta[node] / self.scales[node] * (a @ self._node(node))
        return result

    def _node(self, node: int) -> np.ndarray:
        return self._values[:, node].astype(np.float64)

    def _scaled(self, node: int) -> np.ndarray:
        return self._node(node) / np.sqrt(self.scales[node])

    def _mean(self, beta: np.ndarray) -> np.ndarray:
        """Σ_n β_n ψ_n of scaled nodes, ``[n, D]``."""
        return sum((beta[node] * self._scaled(node) for node in np.flatnonzero(beta)), start=0.0)


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
