"""Local features, one for each cell of a conv map, and the nearest among those of other pictures.

Source: J. Y.-H. Ng, *Video Understanding with Deep Networks*, 2018, section 2.4.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

# Queries, and references, in one product: 64 MB of results.
_QUERIES, _REFERENCES = 2048, 8192
# Products in float32 put neighbours at almost the same distance into any order; so many more than asked for are looked
# at again.
_SPARE = 8


@dataclass(frozen=True)
class Neighbours:
    """For every query its nearest references, the nearest first; all arrays are ``[queries, k]``.

    distances: L2, float64. maps, cells: position of the array it is in, and of its row there.
    """

    distances: np.ndarray
    maps: np.ndarray
    cells: np.ndarray


def nearest_cells(
    queries: np.ndarray,
    references: Sequence[np.ndarray],
    k: int,
    *,
    device: str = "cpu",
    idle: Callable[[], None] = lambda: None,
    done: Callable[[int], None] = lambda count: None,
) -> Neighbours:
    """The ``k`` nearest references of every query, compared with all of them.

    Products in float32 find k + 8 candidates, whose distances are then computed in float64 from the differences. Of
    candidates at one distance the first counts.

    Args:
        queries: ``[Q, C]`` float32.
        references: arrays ``[n, C]`` float32, of k rows or more in all.
        device: of the products.
        idle: called before each product; it may raise to stop.
        done: called with the number of queries whenever those of some more were found.
    """
    firsts = np.cumsum([0, *map(len, references)])
    distances, indices = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), _QUERIES):
        part = slice(start, start + _QUERIES)
        found = _candidates(queries[part], references, min(k + _SPARE, int(firsts[-1])), device, idle)
        exact = np.linalg.norm(_rows(references, firsts, found) - queries[part, None].astype(np.float64), axis=2)
        order = np.argsort(exact, axis=1, kind="stable")[:, :k]
        distances[part], indices[part] = (np.take_along_axis(values, order, axis=1) for values in (exact, found))
        done(len(found))
    maps = np.searchsorted(firsts, indices, side="right") - 1
    return Neighbours(distances, maps, indices - firsts[maps])


def _candidates(
    queries: np.ndarray, references: Sequence[np.ndarray], count: int, device: str, idle: Callable[[], None]
) -> np.ndarray:
    """``[Q, count]``: positions, in ascending order, of what is nearest by float32."""
    asked = torch.from_numpy(queries).to(device)
    nearest = torch.empty((len(queries), 0), device=device)
    places = torch.empty((len(queries), 0), dtype=torch.int64, device=device)
    first = 0
    for rows in _blocks(references):
        idle()
        block = torch.from_numpy(rows).to(device)
        # ‖q − r‖² without ‖q‖², which is the same for all references.
        squares = torch.addmm(block.square().sum(1), asked, block.T, alpha=-2)
        best, at = squares.topk(min(count, len(block)), dim=1, largest=False)
        nearest, places = torch.cat([nearest, best], 1), torch.cat([places, at + first], 1)
        best, at = nearest.topk(min(count, nearest.shape[1]), dim=1, largest=False)
        nearest, places = best, places.gather(1, at)
        first += len(rows)
    return places.sort(dim=1).values.cpu().numpy()


def _blocks(references: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """The same rows in arrays of a size that products are fast with."""
    held: list[np.ndarray] = []
    count = 0
    for array in references:
        for start in range(0, len(array), _REFERENCES):
            piece = array[start : start + _REFERENCES]
            if count + len(piece) > _REFERENCES:
                yield np.concatenate(held)
                held, count = [], 0
            held.append(piece)
            count += len(piece)
    if held:
        yield np.concatenate(held)


def _rows(references: Sequence[np.ndarray], firsts: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``[Q, m, C]``: the references at ``places`` [Q, m], counted through all arrays."""
    flat = places.ravel()
    maps = np.searchsorted(firsts, flat, side="right") - 1
    rows = np.empty((len(flat), references[0].shape[1]), np.float32)
    order = np.argsort(maps, kind="stable")
    for at in np.split(order, np.flatnonzero(np.diff(maps[order])) + 1):
        number = maps[at[0]]
        rows[at] = references[number][flat[at] - firsts[number]]
    return rows.reshape(*places.shape, -1)
