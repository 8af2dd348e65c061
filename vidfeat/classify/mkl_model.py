"""Decision values of trained machines over kernels between nodes: what is needed of the training items, and no more."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidfeat.classify.mkl_spaces import AVERAGING
from vidfeat.kernels import kernel_matrix


@dataclass(frozen=True)
class NodeMachines:
    """Machines over the kernels between the nodes of support vectors and of other items."""

    nodes: Sequence[np.ndarray]  # of every stream, [S, nodes, D]
    scales: Sequence[np.ndarray]  # of every stream, [nodes]
    betas: np.ndarray  # [machines, nodes of all streams]
    dual: np.ndarray  # [machines, S]
    intercepts: np.ndarray  # [machines]
    kernel: str
    gammas: Sequence[float | None]
    combination: str

    def scores(self, nodes: Sequence[np.ndarray]) -> np.ndarray:
        """Decision values ``[m, machines]`` of items with the nodes ``[m, nodes, D]`` of every stream."""
        result = np.tile(self.intercepts, (len(nodes[0]), 1))
        at = 0
        for theirs, ours, scales, gamma in zip(nodes, self.nodes, self.scales, self.gammas, strict=True):
            betas = self.betas[:, at : at + len(scales)] / np.sqrt(scales)
            at += len(scales)
            active = np.flatnonzero(betas.any(axis=0))
            for n in active:
                for m in active if self.combination == AVERAGING else [n]:
                    K = kernel_matrix(self.kernel, theirs[:, n], ours[:, m], gamma)
                    # In concatenation one factor is β, not β².
                    weight = betas[:, n] * betas[:, m] if self.combination == AVERAGING else betas[:, n]
                    if self.combination != AVERAGING:
                        weight = weight / np.sqrt(scales[n])
                    result += K @ (weight[:, None] * self.dual).T
        return result

    def supported(self) -> tuple["NodeMachines", np.ndarray]:
        """The same with the support vectors alone, and which of the rows they are."""
        rows = np.flatnonzero(np.abs(self.dual).max(axis=0) > 0)
        kept = [part[rows] for part in self.nodes]
        values = {**vars(self), "nodes": kept, "dual": self.dual[:, rows]}
        return NodeMachines(**values), rows
