"""Nodes whose kernels are Gram matrices: RBF and intersection by blocks, or given ones."""

from collections.abc import Sequence

import numpy as np

from vidfeat.classify.mkl_spaces import AVERAGING, checked_scales
from vidfeat.errors import UsageError
from vidfeat.kernels import kernel_matrix


class KernelNodes:
    """Kernels between nodes ``[n, nodes, D]`` by blocks ``[n, n]``, of which as many are kept as ``memory`` allows.

    Args:
        kernel: name of a kernel function of :mod:`vidfeat.kernels.functions`.
        gamma: of rbf, shared by all blocks.
        memory: bytes of blocks that are kept; the others are computed anew each time.
    """

    def __init__(
        self, values: np.ndarray, combination: str, centre: bool, kernel: str, gamma: float | None, memory: float
    ):
        self.n_items, self.n_nodes, _ = values.shape
        self._values, self._averaging, self._kernel_and_gamma = values, combination == AVERAGING, (kernel, gamma)
        self._most = int(min(memory / (8 * self.n_items**2), self.n_nodes**2))
        self._kept: dict[tuple[int, int], np.ndarray] = {}
        self.scales = np.ones(self.n_nodes)
        traces = [_trace(self._kernel(node, node), centre) for node in range(self.n_nodes)]
        self.scales = checked_scales(np.array([t for t, _ in traces]), np.array([whole for _, whole in traces]))

    def gram(self, beta: np.ndarray) -> np.ndarray:
        K = np.zeros((self.n_items, self.n_items))
        active = np.flatnonzero(beta)
        for place, n in enumerate(active):
            if not self._averaging:
                K += beta[n] / self.scales[n] * self._kernel(n, n)
                continue
            for m in active[place:]:
                part = beta[n] * beta[m] * self._scaled(n, m)
                K += part
                if m != n:
                    K += part.T
        return K

    def look(self, beta: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        falls = np.zeros((len(A), self.n_nodes))
        turns = np.zeros((len(A), self.n_nodes, self.n_items))
        for n in range(self.n_nodes):
            if not self._averaging:
                turns[:, n] = A @ self._scaled(n, n)
                falls[:, n] = 0.5 * (turns[:, n] * A).sum(axis=1)
                continue
            for m in range(n, self.n_nodes):
                if beta[n] or beta[m]:
                    block = self._scaled(n, m)
                    forth, back = A @ block.T, A @ block
                    both = forth + back
                    turns[:, n] += beta[m] * both
                    falls[:, n] += beta[m] * (forth * A).sum(axis=1)
                    if m != n:
                        turns[:, m] += beta[n] * both
                        falls[:, m] += beta[n] * (forth * A).sum(axis=1)
        return falls, turns

    def cross(self, A: np.ndarray) -> np.ndarray:
        M = np.empty((self.n_nodes, self.n_nodes))
        for n in range(self.n_nodes):
            for m in range(n, self.n_nodes):
                M[n, m] = M[m, n] = ((A @ self._scaled(n, m)) * A).sum()
        return M

    def _scaled(self, n: int, m: int) -> np.ndarray:
        return self._kernel(n, m) / np.sqrt(self.scales[n] * self.scales[m])

    def _block(self, X: np.ndarray, Y: np.ndarray | None) -> np.ndarray:
        kernel, gamma = self._kernel_and_gamma
        return kernel_matrix(kernel, X, Y, gamma)

    def _kernel(self, n: int, m: int) -> np.ndarray:
        """κ of nodes n ≤ m, as it came."""
        if (n, m) in self._kept:
            return self._kept[n, m]
        found = self._block(self._values[:, n], None if n == m else self._values[:, m])
        if len(self._kept) < self._most:
            self._kept[n, m] = found
        return found


class GivenNodes(KernelNodes):
    """Gram matrices ``[n, n]`` that somebody else computed; only concatenation, which needs no kernel across nodes."""

    def __init__(self, grams: Sequence[np.ndarray], centre: bool):
        self.n_items, self.n_nodes = len(grams[0]), len(grams)
        self._grams, self._averaging = list(grams), False
        traces = [_trace(gram, centre) for gram in grams]
        self.scales = checked_scales(np.array([t for t, _ in traces]), np.array([whole for _, whole in traces]))

    def _kernel(self, n: int, m: int) -> np.ndarray:
        return self._grams[n]


def check_grams(grams: Sequence, n_nodes: int | None = None, n_items: int | None = None) -> list[np.ndarray]:
    """A list of training Gram matrices ``[n, n]``, or with ``n_items`` of test ones ``[m, n]``; float64."""
    found = [np.asarray(gram, dtype=np.float64) for gram in grams]
    if n_nodes is not None and len(found) != n_nodes:
        raise UsageError(
            f"{len(found)} Gram matrices came, the model was trained on {n_nodes}: give as many, in order."
        )
    for number, gram in enumerate(found):
        wanted = (len(gram), n_items) if n_items is not None else (len(found[0]),) * 2
        if gram.ndim != 2 or gram.shape != wanted or len(gram) != len(found[0]) or not gram.size:
            what = "[items, items]" if n_items is None else f"[items, {n_items} training items]"
            raise UsageError(f"Gram matrix {number} has shape {gram.shape}; all must be {what}, of the same items.")
        if not np.isfinite(gram).all():
            raise UsageError(f"Gram matrix {number} holds NaN or infinite values.")
        if n_items is None and not np.allclose(gram, gram.T, rtol=0, atol=1e-6 * np.abs(gram).max()):
            raise UsageError(f"Gram matrix {number} is not symmetric, so it is no kernel between training items.")
    return found


def _trace(gram: np.ndarray, centre: bool) -> tuple[float, float]:
    """Trace per item, of the centred kernel if so wished; and that of the kernel as it is."""
    whole = float(np.trace(gram)) / len(gram)
    return (whole - float(gram.mean()) if centre else whole), whole
