"""What multiple-kernel learning takes: nodes ``[items, nodes, D]``, one array or one per stream, or Gram matrices."""

from collections.abc import Sequence

import numpy as np

from vidfeat.classify.mkl_grams import GivenNodes, KernelNodes, check_grams
from vidfeat.classify.mkl_linear import LinearNodes
from vidfeat.classify.mkl_spaces import AVERAGING, Streams
from vidfeat.errors import UsageError
from vidfeat.kernels.blocks import shared_gamma

KERNELS = ("linear", "rbf", "intersection")
_TAKES = "nodes [items, nodes, D], a list of such arrays (one per stream), or a list of Gram matrices [items, items]"


# Of products in float32, as a share of the mean diagonal; pessimistic.
_SINGLE_ROUNDING = 1e-6


def are_grams(X) -> bool:
    """Whether a list of matrices came. UsageError for anything that is neither that nor arrays of nodes."""
    if isinstance(X, np.ndarray) or not isinstance(X, Sequence):
        if np.ndim(X) == 3:
            return False
        raise UsageError(f"An array of shape {np.shape(X)} came; allowed are {_TAKES}.")
    dimensions = {np.ndim(part) for part in X}
    if dimensions not in ({2}, {3}):
        raise UsageError(f"A list of {len(X)} arrays of {sorted(dimensions)} dimensions came; allowed are {_TAKES}.")
    return dimensions == {2}


def check_streams(X, like: Sequence[tuple[int, int]] | None = None) -> list[np.ndarray]:
    """The streams, real and finite and of the same items; ``like``: (nodes, D) of each stream in training."""
    streams = [np.asarray(part) for part in ([X] if not isinstance(X, Sequence) else X)]
    if like is not None and [stream.shape[1:] for stream in streams] != list(like):
        came = " and ".join(str(list(stream.shape[1:])) for stream in streams)
        raise UsageError(
            f"Streams of [nodes, D] = {came} came, the model was trained on "
            f"{' and '.join(str(list(shape)) for shape in like)}: give the same streams, in the same order."
        )
    for number, stream in enumerate(streams):
        if not (np.issubdtype(stream.dtype, np.floating) or np.issubdtype(stream.dtype, np.integer)):
            raise UsageError(f"Stream {number} (from 0) holds {stream.dtype}; nodes are real numbers.")
        if len(stream) != len(streams[0]):
            raise UsageError(f"Stream {number} (from 0) has {len(stream)} items, stream 0 has {len(streams[0])}.")
        if not stream.size:
            raise UsageError(f"Stream {number} (from 0) has shape {stream.shape}: there is nothing to learn from.")
        if not np.isfinite(stream.sum(dtype=np.float64)):
            bad = np.flatnonzero(~np.isfinite(stream).all(axis=(1, 2)))
            if len(bad):
                raise UsageError(
                    f"{len(bad)} of {len(stream)} items have NaN or infinite values, the first is item {bad[0]} of "
                    f"stream {number} (from 0): check the features they were encoded from with `vidfeat verify`."
                )
    return streams


def spaces(
    X, kernel: str, combination: str, gamma: float | None, centre: bool, memory_gb: float, accuracy: float
) -> tuple[Streams, list[float | None]]:
    """The streams as :class:`Streams`, and γ of each (None without).

    ``accuracy``: largest error of the kernel, as a share of its mean diagonal, that does not matter.
    """
    if kernel not in (*KERNELS, "precomputed"):
        raise UsageError(f"kernel={kernel!r} is unknown. Allowed: {', '.join(KERNELS)}.")
    if are_grams(X):
        if kernel not in ("linear", "precomputed"):
            raise UsageError(f"kernel={kernel!r} has no effect on Gram matrices: leave it out, or give the nodes.")
        if combination == AVERAGING:
            raise UsageError(
                "combination='averaging' needs kernels between different nodes, which a list of Gram matrices does "
                "not have. Give the nodes [items, nodes, D], or use combination='concatenation'."
            )
        return Streams([GivenNodes(check_grams(X), centre)]), [None]
    if kernel == "precomputed":
        raise UsageError("kernel='precomputed' needs a list of Gram matrices [items, items], not nodes.")
    if gamma is not None and kernel != "rbf":
        raise UsageError(f"gamma={gamma} has no effect with kernel={kernel!r}, only with 'rbf'.")
    streams = check_streams(X)
    if not memory_gb >= 0:
        raise UsageError(f"memory_gb={memory_gb} is not allowed: it must be 0 or more.")
    memory = memory_gb * 2**30 / len(streams)
    if kernel == "linear":
        nodes = [
            LinearNodes(stream, combination, centre, memory, _is_single(stream) and accuracy >= _SINGLE_ROUNDING)
            for stream in streams
        ]
        return Streams(nodes), [None] * len(streams)
    gammas = [(shared_gamma(stream) if gamma is None else gamma) if kernel == "rbf" else None for stream in streams]
    return Streams(
        [
            KernelNodes(stream, combination, centre, kernel, own, memory)
            for stream, own in zip(streams, gammas, strict=True)
        ]
    ), gammas


def _is_single(values: np.ndarray) -> bool:
    """Whether numbers have no more digits than float32."""
    return values.dtype.kind == "f" and values.dtype.itemsize <= 4
