"""Linear kernels between nodes: products with Ψ_n ``[items, D]`` wherever they do, Gram matrices where they pay.

With w_n = Ψ_nᵀ a the falls and turns of mkl_spaces.py need no Gram matrix. K(β) needs one, and is where the time goes:
n² D multiplications for a node. So the Gram matrices of nodes that have weight are kept for the next β.

Where float32 will do, products are taken in it, of nodes less their mean, as what all items have in common would drown
what tells them apart; sums over nodes are taken in float64.
"""

import numpy as np

from vidfeat.classify.mkl_spaces import AVERAGING, checked_scales

# Numbers of a node, side by side with others, for one product: long enough for BLAS, short for sums in float32.
_SIDE_BY_SIDE = 2048
_ROWS = 64  # of K that are summed over nodes at a time: they stay in a core's own cache


class LinearNodes:
    """Linear kernels between nodes.

    Args:
        values: ``[n, nodes, D]``.
        combination: ``concatenation`` or ``averaging``.
        centre: traces are of kernels that are centred on the items.
        memory: bytes of Gram matrices that are kept.
        single: float32 will do.
    """

    def __init__(self, values: np.ndarray, combination: str, centre: bool, memory: float, single: bool):
        self.n_items, self.n_nodes, _ = values.shape
        self._values, self._averaging = values, combination == AVERAGING
        self._precision = np.float32 if single else np.float64
        size = np.dtype(self._precision).itemsize * self.n_items**2
        self._most = int(min(memory / size, self.n_nodes))
        self._kept: dict[int, np.ndarray] = {}
        self._before = np.array([], int)
        self._means = values.mean(axis=0, dtype=np.float64)
        traces, sides = np.empty((2, self.n_nodes)), np.empty((self.n_nodes, self.n_items))
        for node, mean in enumerate(self._means):
            own = self._node(node)
            sides[node] = own @ mean - 0.5 * (mean @ mean)
            traces[1, node] = (own**2).sum()
            traces[0, node] = ((own - mean) ** 2).sum() if centre else traces[1, node]
        self.scales = checked_scales(*(traces / self.n_items))
        # What centring takes away: (Ψ Ψᵀ)_ij = (centred)_ij + side_i + side_j.
        self._sides = sides / self.scales[:, None]

    def gram(self, beta: np.ndarray) -> np.ndarray:
        if self._averaging:
            mean = self._mean(beta)
            return mean @ mean.T  # one and the same array: half the multiplications, and exactly symmetric
        active = np.flatnonzero(beta)
        self._keep(active)
        K = self._weighted_sum(beta)
        self._add_side_by_side(K, [node for node in active if node not in self._kept], beta)
        sides = beta[active] @ self._sides[active]
        K += sides
        K += sides[:, None]
        return K

    def look(self, beta: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        falls = np.empty((len(A), self.n_nodes))
        turns = np.empty((len(A), self.n_nodes, self.n_items))
        A = A.astype(self._precision)
        if self._averaging:
            mean = self._mean(beta)
            mean = (mean - mean.mean(axis=0)).astype(self._precision)
            towards = A @ mean  # Σ_n β_n w_n, [machines, D]
        for node in range(self.n_nodes):
            values = self._scaled(node)
            w = A @ values
            if self._averaging:
                falls[:, node] = (w * towards).sum(axis=1, dtype=np.float64)
                turns[:, node] = towards @ values.T + w @ mean.T
            else:
                falls[:, node] = 0.5 * (w**2).sum(axis=1, dtype=np.float64)
                turns[:, node] = w @ values.T
        return falls, turns

    def cross(self, A: np.ndarray) -> np.ndarray:
        A = A.astype(self._precision)
        w = np.stack([(A @ self._scaled(node)).ravel() for node in range(self.n_nodes)])
        return (w @ w.T).astype(np.float64)

    def weights(self, betas: np.ndarray, A: np.ndarray) -> np.ndarray:
        """``[machines, nodes, D]`` for ``betas [machines, nodes]`` and ``A [machines, n]``: the decision value of nodes
        ψ_n as they come is Σ_n ψ_n · weights_n, plus an intercept."""
        result = np.zeros((len(A), *self._values.shape[1:]))
        if self._averaging:
            for beta in np.unique(betas, axis=0):
                own = (betas == beta).all(axis=1)
                towards = A[own] @ self._mean(beta)
                result[own] = (beta / np.sqrt(self.scales))[:, None] * towards[:, None]
            return result
        for node in np.flatnonzero(betas.any(axis=0)):
            result[:, node] = betas[:, node, None] / self.scales[node] * (A @ self._node(node))
        return result

    def _node(self, node: int) -> np.ndarray:
        return self._values[:, node].astype(np.float64)

    def _scaled(self, node: int) -> np.ndarray:
        """Centred; the items' coefficients sum to 0, so that nothing depends on that."""
        scale = np.sqrt(self.scales[node])
        values = np.subtract(self._values[:, node], self._means[node], dtype=self._precision, casting="same_kind")
        values /= values.dtype.type(scale)
        return values

    def _mean(self, beta: np.ndarray) -> np.ndarray:
        """Σ_n β_n ψ_n of scaled nodes as they come, ``[n, D]``."""
        mean = np.zeros((self.n_items, self._values.shape[2]))
        for node in np.flatnonzero(beta):
            mean += beta[node] / np.sqrt(self.scales[node]) * self._node(node)
        return mean

    def _keep(self, active: np.ndarray) -> None:
        """Of the nodes with weight, now and at the weights before, as many as there is memory for."""
        self._kept = {node: gram for node, gram in self._kept.items() if node in active}
        for node in np.intersect1d(active, self._before):
            if node not in self._kept and len(self._kept) < self._most:
                values = self._scaled(node)
                self._kept[node] = values @ values.T  # half the multiplications, as above
        self._before = active

    def _add_side_by_side(self, K: np.ndarray, nodes: list[int], beta: np.ndarray) -> None:
        """Add Σ_n β_n Ψ_n Ψ_nᵀ to K, of several nodes with each product."""
        step = max(1, _SIDE_BY_SIDE // self._values.shape[2])
        for at in range(0, len(nodes), step):
            parts = [self._scaled(node) * self._precision(np.sqrt(beta[node])) for node in nodes[at : at + step]]
            block = np.hstack(parts)
            K += block @ block.T

    def _weighted_sum(self, beta: np.ndarray) -> np.ndarray:
        K = np.zeros((self.n_items, self.n_items))
        room = np.empty((_ROWS, self.n_items))
        for at in range(0, self.n_items, _ROWS):
            rows = K[at : at + _ROWS]
            for node, gram in self._kept.items():
                rows += np.multiply(gram[at : at + _ROWS], beta[node], out=room[: len(rows)], dtype=np.float64)
        return K
