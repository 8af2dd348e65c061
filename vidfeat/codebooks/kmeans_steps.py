"""One pass of k-means over all rows: to which centre each belongs, compiled for a CPU or with torch for a GPU.

The nearest centre has the largest x·c' − (‖c'‖²/2 + m·c') with c' = c − m for any m; the mean of the centres makes c',
and with it the rounding of the float32 product, small.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vidfeat.codebooks.rows import Rows, Run, Span, not_finite

# The centres as a pass needs them: c' [k, d] and ‖c'‖²/2 + m·c' [k], float32.
Prepared = tuple[Tensor, Tensor]


def cluster_sums(rows: Rows, centers: np.ndarray, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """For each of the ``centers [k, d]`` the number of rows nearest to it, int64 ``[k]``, and their sum, float64."""
    k, d = centers.shape
    prepared = prepare_centers(centers, rows.device)
    work = _sums_compiled if rows.is_compiled else _sums_torch
    counts, sums = np.zeros(k, np.int64), np.zeros((k, d))
    parts = rows.parts(d + k if rows.is_compiled else d + 2 * k, sums=k * d)
    for part_counts, part_sums in run(lambda spans: work(rows, spans, prepared), parts):
        counts += part_counts
        sums += part_sums
    return counts, sums


def nearest_centers(rows: Rows, centers: np.ndarray, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of the ``centers [k, d]`` to each row, int64 ``[n]``, and squared distances, float32 ``[n]``."""
    k, d = centers.shape
    prepared = prepare_centers(centers, rows.device)
    narrow = torch.from_numpy(centers.astype(np.float32)).to(rows.device)
    work = _nearest_compiled if rows.is_compiled else _nearest_torch
    words, distances = np.empty(rows.n, np.int64), np.empty(rows.n, np.float32)
    for _ in run(lambda spans: work(rows, spans, prepared, narrow, words, distances), rows.parts(d + k)):
        pass
    if not np.isfinite(distances).all():
        raise not_finite(int(np.flatnonzero(~np.isfinite(distances))[0]), rows.name)
    return words, distances


def prepare_centers(centers: np.ndarray, device: torch.device) -> Prepared:
    """``centers [k, d]`` as scores of rows x against them need them, x·c' less the offsets."""
    centers = np.asarray(centers, np.float64)
    middle = centers.mean(axis=0)
    shifted = centers - middle
    offsets = 0.5 * np.einsum("kd,kd->k", shifted, shifted) + shifted @ middle
    return tuple(torch.from_numpy(values.astype(np.float32)).to(device) for values in (shifted, offsets))


def _words_compiled(rows: Rows, spans: list[Span], prepared: Prepared) -> Iterator[tuple]:
    """Places of the blocks (slice), their rows ``[n, d]`` and words ``[n]``, which the next block overwrites."""
    from vidfeat.codebooks.kmeans_kernels import find_words

    shifted, offsets = prepared
    most = max(stop - start for start, stop in spans)
    memory = torch.empty(len(shifted) * most)
    best, words = np.empty(most, np.float32), np.empty(most, np.int32)
    for start, stop in spans:
        x = rows.block(start, stop)
        n = stop - start
        scores = torch.mm(shifted, x.T, out=memory[: len(shifted) * n].view(len(shifted), n))
        find_words(scores.numpy(), offsets.numpy(), best[:n], words[:n])
        yield slice(start, stop), x.numpy(), words[:n]


def _words_torch(rows: Rows, spans: list[Span], prepared: Prepared) -> Iterator[tuple]:
    """The same, and the scores ``[n, k]``, which may be overwritten."""
    shifted, offsets = prepared
    for start, stop in spans:
        x = rows.block(start, stop)
        scores = torch.mm(x, shifted.T).sub_(offsets)
        yield slice(start, stop), x, scores.argmax(dim=1), scores


def _sums_compiled(rows: Rows, spans: list[Span], prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    from vidfeat.codebooks.kmeans_kernels import add_rows

    counts, sums = np.zeros(len(prepared[0]), np.int64), np.zeros(prepared[0].shape)
    for _, x, words in _words_compiled(rows, spans, prepared):
        add_rows(words, x, counts, sums)
    return counts, sums


def _sums_torch(rows: Rows, spans: list[Span], prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """Sums as a product with a matrix of zeros and ones, because adding rows one by one has no fixed order on a GPU."""
    k = len(prepared[0])
    counts = torch.zeros(k, dtype=torch.int64, device=rows.device)
    sums = torch.zeros(prepared[0].shape, dtype=torch.float64, device=rows.device)
    for _, x, words, scores in _words_torch(rows, spans, prepared):
        ones = scores.zero_().scatter_(1, words[:, None], 1.0)
        counts += ones.sum(dim=0, dtype=torch.float64).long()
        sums += ones.T @ x
    return counts.cpu().numpy(), sums.cpu().numpy()


def _nearest_compiled(rows: Rows, spans: list[Span], prepared: Prepared, centers: Tensor, words, distances) -> None:
    from vidfeat.codebooks.kmeans_kernels import squared_distances

    for place, x, found in _words_compiled(rows, spans, prepared):
        squared_distances(found, x, centers.numpy(), distances[place])
        words[place] = found


def _nearest_torch(rows: Rows, spans: list[Span], prepared: Prepared, centers: Tensor, words, distances) -> None:
    for place, x, found, _ in _words_torch(rows, spans, prepared):
        distances[place] = (x - centers[found]).square_().sum(dim=1).cpu().numpy()
        words[place] = found.cpu().numpy()
