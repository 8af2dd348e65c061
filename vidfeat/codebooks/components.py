"""Principal components of items that need not fit into memory, for short and whitened codes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vidfeat.codebooks.lloyd import check_whole
from vidfeat.codebooks.rows import not_finite
from vidfeat.errors import UsageError

# Variances below this share of the largest are rounding: directions that items do not have cannot be found or whitened.
_NO_VARIANCE = 1e-12
# Bytes of rows held at a time, and numbers of them converted to float64 at a time.
_MEMORY = 1 << 30
_TILE = 1 << 22


@dataclass(frozen=True)
class PCA:
    """An affine map to the directions of largest variance."""

    mean: np.ndarray  # float32 [D]
    components: np.ndarray  # float32 [n, D], orthonormal rows, the largest variance first
    variances: np.ndarray  # of the items along each component, float64 [n]
    regularisation: float  # added to the variances in whitening
    whiten: bool = True

    def project(self, x) -> np.ndarray:
        """(x − mean) · componentsᵀ, divided by √(variances + regularisation) in whitening: ``[m, D]`` to float32
        ``[m, n]``. x is anything that :func:`pca` takes."""
        _check_source(x)
        if x.shape[1] != len(self.mean):
            raise UsageError(
                f"Items have {x.shape[1]} dimensions, the components {len(self.mean)}: they must be codes of one kind."
            )
        scale = 1.0 / np.sqrt(self.variances + self.regularisation) if self.whiten else np.ones(len(self.variances))
        out = np.empty((x.shape[0], len(scale)), np.float32)
        for start, stop in _spans(x.shape[0], max(1, _TILE // x.shape[1])):
            block = np.asarray(x[start:stop]).astype(np.float32)
            block -= self.mean
            out[start:stop] = (block @ self.components.T) * scale
        if not np.isfinite(out).all():
            raise not_finite(int(np.flatnonzero(~np.isfinite(out).all(axis=1))[0]), "items")
        return out


def pca(source, n_components: int, *, whiten: bool = True, epsilon: float = 1e-6, memory: int = _MEMORY) -> PCA:
    """The ``n_components`` orthonormal directions along which the items vary most.

    They are the eigenvectors of X'ᵀX' / (N − 1), X' being the items less their mean, with the largest eigenvalues.
    For D > N they come from the N × N Gram matrix, X'X'ᵀ u = (N − 1) λ u, as X'ᵀu / √((N − 1) λ). Float64 throughout;
    the largest number of each component is positive, in magnitude the largest.

    Whitening divides by √(λ + ε λ_1): the stated small constant is ``epsilon`` times the largest variance, 1e-6 of it
    by default, which keeps the rounding of directions with next to no variance from being blown up.

    Args:
        source: N items of D numbers: ``source.shape == (N, D)`` and ``source[i:j]`` is an array of these rows. NumPy
            array, memmap, HDF5 dataset. Rows are read in blocks, several times where D > N.
        n_components: at most D, and at most N − 1, as the mean takes one direction.
        whiten: whether :meth:`PCA.project` divides by deviations.
        epsilon: ≥ 0, of whitening.
        memory: bytes of rows to hold at a time; more means fewer readings where D > N. Besides, matrices of
            min(N, D)² and n_components × D float64 numbers are held.

    Returns:
        A :class:`PCA`.

    Raises:
        UsageError: fewer items than components need; items that vary in fewer directions, unless D ≤ N and nothing is
            divided by their variance; NaN or infinite numbers, another shape, a parameter out of range.

    Source: the Gram form is that of L. Sirovich, M. Kirby, *Low-dimensional procedure for the characterization of human
    faces*, 1987; whitened and renormalised codes: H. Jégou, O. Chum, *Negative evidences and co-occurences in image
    retrieval*, 2012.
    """
    _check_source(source)
    check_whole(n_components, "n_components", "the number of components", 1)
    check_whole(memory, "memory", "bytes of rows to hold", 1)
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise UsageError(f"epsilon={epsilon} is not allowed: it is a share of the largest variance, finite and ≥ 0.")
    N, D = source.shape
    if n_components > min(N - 1, D):
        raise UsageError(
            f"{n_components} components were asked for, but {N} items of {D} dimensions have at most {min(N - 1, D)} "
            "(one less than items, and no more than dimensions). Ask for fewer, or add items."
        )
    if D > N:
        mean, components, variances = _from_gram(source, n_components, memory)
    else:
        mean, components, variances = _from_covariance(source, n_components, memory, whiten and epsilon == 0)
    components *= np.sign(components[np.arange(n_components), np.abs(components).argmax(axis=1)])[:, None]
    regularisation = epsilon * float(variances[0]) if whiten else 0.0
    return PCA(mean.astype(np.float32), components.astype(np.float32), variances, regularisation, whiten)


def _from_covariance(source, n: int, memory: int, strict: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, components and variances from the matrix of D² numbers, in one reading."""
    N, D = source.shape
    reader = _Reader(source, memory)
    total, products = np.zeros(D), np.zeros((D, D))
    for start, stop in reader.spans:
        block = reader.shifted(reader.rows(start, stop), slice(None))
        total += block.sum(axis=0)
        products += block.T @ block
    products -= np.outer(total, total) / N
    variances, vectors = _largest(products / (N - 1), n, reader.rounding, strict)
    return reader.shift + total / N, vectors.T.copy(), variances


def _from_gram(source, n: int, memory: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same from the matrix of N² numbers, of which each pair of blocks of rows gives a part."""
    N, D = source.shape
    reader = _Reader(source, memory)
    total, gram = np.zeros(D), np.zeros((N, N))
    for place, first in enumerate(reader.spans):
        held = reader.rows(*first)
        for second in reader.spans[place:]:
            others = held if second == first else reader.rows(*second)
            for columns in reader.columns:
                left = reader.shifted(held, columns)
                right = left if others is held else reader.shifted(others, columns)
                gram[slice(*first), slice(*second)] += left @ right.T
                if others is held:
                    total[columns] += left.sum(axis=0)
        gram[slice(first[1], None), slice(*first)] = gram[slice(*first), slice(first[1], None)].T
    # Rows and columns less their means: the Gram matrix of the items less their mean.
    means = gram.mean(axis=0)
    gram += means.mean() - means - means[:, None]
    variances, vectors = _largest(gram / (N - 1), n, reader.rounding, True)
    components = np.zeros((n, D))
    for start, stop in reader.spans:
        rows = reader.rows(start, stop)
        for columns in reader.columns:
            components[:, columns] += vectors[start:stop].T @ reader.shifted(rows, columns)
    components /= np.linalg.norm(components, axis=1, keepdims=True)
    return reader.shift + total / N, components, variances


def _largest(matrix: np.ndarray, n: int, rounding: float, strict: bool) -> tuple[np.ndarray, np.ndarray]:
    """The n largest eigenvalues of a matrix of products, decreasing, and their vectors in columns; strict: none is 0,
    but for rounding."""
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[: -n - 1 : -1].copy(), vectors[:, : -n - 1 : -1].copy()
    varying = int((values > max(_NO_VARIANCE * values[0], rounding)).sum())
    if strict and varying < n:
        raise UsageError(
            f"{n} components were asked for, but the items vary in only {varying} directions: "
            "some are equal, or depend on each other. Ask for fewer, or add other items."
        )
    return np.maximum(values, 0.0), vectors


class _Reader:
    """Blocks of rows as they are stored, and parts of them in float64, less a vector near the mean of all rows, which
    keeps products from cancelling."""

    def __init__(self, source, memory: int):
        self.source = source
        N, D = source.shape
        first = np.asarray(source[0:1])
        rows = max(1, memory // (2 * first.itemsize * D))  # two blocks are held
        if D <= N:
            rows = min(rows, max(1, _TILE // D))
        self.spans = list(_spans(N, rows))
        width = max(1, _TILE // min(rows, N))
        self.columns = [slice(start, stop) for start, stop in _spans(D, width)]
        self.shift = self.rows(*self.spans[0]).mean(axis=0, dtype=np.float64)
        # What may be left of items that are all equal, as a variance.
        self.rounding = 1e-24 * float(self.shift @ self.shift)

    def rows(self, start: int, stop: int) -> np.ndarray:
        rows = np.asarray(self.source[start:stop])
        usable = np.isfinite(rows.sum(axis=1, dtype=np.float64))
        if not usable.all():
            raise not_finite(start + int(np.flatnonzero(~usable)[0]), "items")
        return rows

    def shifted(self, rows: np.ndarray, columns: slice) -> np.ndarray:
        return rows[:, columns] - self.shift[columns]


def _spans(count: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, size):
        yield start, min(start + size, count)


def _check_source(source) -> None:
    shape = tuple(getattr(source, "shape", ()))
    if len(shape) != 2 or 0 in shape:
        raise UsageError(f"Items have shape {list(shape)}; allowed is [items, dimensions] with at least one of each.")
