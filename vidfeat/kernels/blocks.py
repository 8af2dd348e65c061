"""The width of an RBF kernel that many kernels between nodes share."""

import numpy as np

from vidfeat.errors import UsageError


def shared_gamma(nodes: np.ndarray) -> float:
    """One γ for the RBF kernels between all nodes: 1 / mean squared distance of training vectors.

    The mean is over all pairs of nodes and all pairs of different items of ``nodes [items, nodes, D]``. With a γ of
    its own for each pair of nodes, a sum of kernels over pairs of nodes would not be positive semidefinite.

    UsageError for fewer than two items, or if all vectors are equal.
    """
    if nodes.ndim != 3 or len(nodes) < 2:
        raise UsageError(f"nodes of shape {nodes.shape} have no pairs of items to learn γ from: give gamma.")
    n, N, D = nodes.shape
    per_item, squares = np.zeros((n, D)), np.zeros(n)
    origin = nodes.mean(axis=(0, 1), dtype=np.float64)
    for node in range(N):
        values = nodes[:, node].astype(np.float64) - origin
        per_item += values
        squares += (values**2).sum(axis=1)
    # Σ over all pairs of items and nodes of ‖x − y‖², less the pairs inside an item; the vectors' own mean is 0.
    everything = 2 * n * N * squares.sum() - 2 * (per_item.sum(axis=0) ** 2).sum()
    inside = 2 * N * squares.sum() - 2 * (per_item**2).sum()
    mean = (everything - inside) / (n * (n - 1) * N**2)
    if not mean > 0:
        raise UsageError("All training items have the same code, so an RBF kernel has no width. Check the features.")
    return float(1 / mean)
