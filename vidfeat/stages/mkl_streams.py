"""Codes of pyramids from one file per stream, as nodes ``[items, nodes, D]``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.classify.mkl_levels import level_count, level_nodes
from vidfeat.errors import UsageError
from vidfeat.stages.labelled import LabelledCodes, read_labelled
from vidfeat.stages.sets import AUTO, sets_to_try
from vidfeat.store import open_codes


@dataclass(frozen=True)
class Stream:
    """Nodes of one file's codes."""

    name: str
    set: str
    blocks: list[tuple[int, int, int]]  # (node, start, stop) among the columns, of the nodes that are used
    dimension: int  # columns of a code
    nodes: np.ndarray  # [items, nodes, D]
    provenance: dict[str, Any]

    def take(self, rows: Sequence[int]) -> np.ndarray:
        return self.nodes[list(rows)]


def read_streams(paths: Sequence[Path], set_name: str, manifest: Path | None, levels: int | None):
    """(items, streams): labels, groups and splits, from the first file, and the nodes of every file.

    UsageError if a file has no pyramid of that many levels, or the files do not hold the same items.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError(f"A file came twice among {', '.join(map(str, paths))}. Give one codes file of each stream.")
    items: LabelledCodes | None = None
    streams = []
    for path, name in zip(paths, stream_names(paths), strict=True):
        chosen = the_set(path, set_name)
        data = read_labelled(path, chosen, manifest)
        if items is None:
            items = replace(data, codes=np.empty((len(data.ids), 0)), order_error=None)
        elif data.ids != items.ids:
            only = sorted(set(data.ids) ^ set(items.ids))
            where = path if only[0] in data.ids else paths[0]
            raise UsageError(
                f"{paths[0]} and {path} must hold the same items, one stream each; {only[0]!r} is only in {where} "
                f"({len(only)} such). Encode both from the same videos, or choose common items with --manifest."
            )
        blocks = used_blocks(path, chosen, levels)
        nodes = cut(data.codes, blocks)
        streams.append(Stream(name, chosen, blocks, data.codes.shape[1], nodes, data.provenance))
    return items, streams


def the_set(path: Path, wanted: str) -> str:
    """The set that ``--set`` names, or the only one; UsageError if there are several."""
    names = sets_to_try(path, wanted)
    if wanted == AUTO and len(names) > 1:
        raise UsageError(f"{path} has the sets {', '.join(names)}; choose one with --set.")
    return names[0]


def used_blocks(path: Path, set_name: str, levels: int | None) -> list[tuple[int, int, int]]:
    """Blocks of the first ``levels`` levels, or of all, in the order of nodes."""
    with open_codes(path) as stored:
        blocks = sorted(stored.blocks(set_name))
    if not blocks:
        raise UsageError(f"{path} has no pyramid: make its codes with 'vidfeat encode --pyramid L'.")
    widths = {stop - start for _, start, stop in blocks}
    if len(widths) > 1:
        raise UsageError(
            f"{path}: the nodes have {', '.join(map(str, sorted(widths)))} numbers; all must have as many."
        )
    if levels is None:
        return blocks
    most = level_count(len(blocks))
    if levels > most:
        raise UsageError(f"--levels is {levels}, but the pyramid of {path} has {most}. Encode with --pyramid {levels}.")
    return blocks[: level_nodes(levels).stop]


def cut(codes: np.ndarray, blocks: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Nodes ``[items, nodes, D]``; a view where the blocks stand side by side from the first column."""
    width = blocks[0][2] - blocks[0][1]
    if [block[1:] for block in blocks] == [(k * width, (k + 1) * width) for k in range(len(blocks))]:
        return codes[:, : len(blocks) * width].reshape(len(codes), len(blocks), width)
    return np.stack([codes[:, start:stop] for _, start, stop in blocks], axis=1)


def spread(coef: np.ndarray, blocks: Sequence[tuple[int, int, int]], dimension: int) -> np.ndarray:
    """Weights on nodes ``[classes, nodes, D]`` as weights on codes ``[classes, dimension]``."""
    weights = np.zeros((len(coef), dimension))
    for node, (_, start, stop) in enumerate(blocks):
        weights[:, start:stop] += coef[:, node]
    return weights


def stream_names(paths: Sequence[Path]) -> list[str]:
    """The names of the files, or the whole paths if names repeat."""
    names = [path.stem for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
