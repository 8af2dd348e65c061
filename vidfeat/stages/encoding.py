"""How the frames of one item become its code, from the options of ``vidfeat encode``."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from vidfeat import encoders
from vidfeat.errors import ItemError, StorageError, UsageError
from vidfeat.stages.config.encode import LOCAL_METHODS, EncodeConfig
from vidfeat.store import StoredItem

# Bytes of one item that are read at a time, where the encoder takes pieces.
_PIECE = 1 << 24


@dataclass(frozen=True)
class StoredFrames:
    """A feature of one item that is read when it is needed, which may be on any thread."""

    item: StoredItem
    feature: str

    def pieces(self) -> Iterator[np.ndarray]:
        """Some frames at a time."""
        count, *shape = self.item.shape(self.feature)
        step = max(1, _PIECE // max(1, self.item.dtype(self.feature).itemsize * int(np.prod(shape))))
        for first in range(0, count, step):
            yield self.item.rows(self.feature, first, min(count, first + step))


Frames = np.ndarray | StoredFrames


class Encoding:
    """Called with the frames of an item, one entry per feature: (set -> code, set -> temporal order error or None).

    Attributes:
        in_pieces: it takes :class:`StoredFrames`, not arrays.
        fingerprints: of the codebooks, the reduction last.
    """

    def __init__(self, config: EncodeConfig) -> None:
        self._config = config
        self._reduction, self.fingerprints = None, []
        if config.codebook:
            from vidfeat.stages.books import local_encoders

            self._encoders, self.fingerprints = local_encoders(config)
        else:
            self._encoders = [build_encoder(config)]
        if config.reduce is not None:
            from vidfeat.stages.books import read_reduction

            self._reduction, fingerprint = read_reduction(config.reduce)
            self.fingerprints.append(fingerprint)
        self.in_pieces = bool(config.codebook) and config.pyramid == 1

    def __call__(
        self, frames: list[Frames] | ItemError | StorageError
    ) -> tuple[dict[str, np.ndarray], dict[str, float] | None]:
        """Raises ItemError with the reason if the item has no code, StorageError if it is damaged."""
        if isinstance(frames, ItemError | StorageError):
            raise frames
        names, errors = set_names(self._config), None
        try:
            if self._config.method == "rankpool":
                codes, found = self._encoders[0].path(frames[0], self._config.C_values)
                errors = dict(zip(names, found, strict=True))
            elif self.in_pieces:
                codes = [self._joined([_in_pieces(*both) for both in zip(self._encoders, frames, strict=True)])]
            else:
                codes = self._encoders[0].transform([frames[0]])
            if self._reduction is not None:
                codes = self._reduction.transform(np.stack(codes))
        except UsageError as error:
            raise ItemError(str(error)) from error
        return dict(zip(names, codes, strict=True)), errors

    def blocks(self, dimension: int) -> list[tuple[int, int, int]]:
        """(node, start, stop) of the nodes of a pyramid, or of the features, among the columns of a code."""
        if self._reduction is not None:
            return [(0, 0, dimension)]
        if len(self._encoders) > 1:
            ends = np.cumsum([0, *(encoder.code_length for encoder in self._encoders)]).tolist()
        else:
            nodes = 2**self._config.pyramid - 1
            ends = [node * (dimension // nodes) for node in range(nodes + 1)]
        return [(node, *edge) for node, edge in enumerate(pairwise(ends))]

    def _joined(self, codes: list[np.ndarray]) -> np.ndarray:
        """Codes of several features side by side; each weighs the same if codes are normalised."""
        whole = np.concatenate(codes)
        return whole if self._config.no_normalize or len(codes) == 1 else whole / np.float32(np.sqrt(len(codes)))


def _in_pieces(encoder: Any, frames: StoredFrames) -> np.ndarray:
    sums = encoder.start()
    for piece in frames.pieces():
        encoder.add(sums, piece)
    return encoder.finish(sums)


def encoding_of(config: EncodeConfig) -> dict[str, Any]:
    """The options that determine the codes, by field name; ``EncodeConfig(**…)`` takes them back."""
    names = ["method", "epsilon", "direction", "map", "no_smooth", "pyramid", "no_normalize"]
    if config.method in LOCAL_METHODS:
        names = ["method", "norm", "per", "pool", "assignment", "pyramid", "no_normalize"]
    elif config.method == "hier-rankpool":
        names += ["window", "window_stride", "depth"]
    found = {name: getattr(config, name) for name in names}
    if config.method in LOCAL_METHODS:
        found["codebook"] = [str(path.resolve()) for path in config.codebook]
    else:
        found["C"] = ",".join(f"{value:.12g}" for value in config.C_values)
    if config.reduce is not None:
        found["reduce"] = str(config.reduce.resolve())
    return found


def set_names(config: EncodeConfig) -> list[str]:
    """``default``, or one set per value of C."""
    return ["default"] if len(config.C_values) == 1 else [f"C={value:.12g}" for value in config.C_values]


def build_encoder(config: EncodeConfig) -> Any:
    """The estimator that the options describe, for the first value of C; not for methods with a codebook."""
    normalize = not config.no_normalize
    prepared = {"smooth": not config.no_smooth, "map": config.map, "direction": config.direction}
    ranked = {"C": config.C_values[0], "epsilon": config.epsilon, **prepared}
    pools = {
        "avg": lambda: encoders.AveragePool(normalize=normalize),
        "max": lambda: encoders.MaxPool(normalize=normalize),
        "rankpool": lambda: encoders.RankPool(**ranked, normalize=normalize),
        "approx-rankpool": lambda: encoders.ApproximateRankPool(**prepared, normalize=normalize),
        "hier-rankpool": lambda: encoders.HierarchicalRankPool(
            config.window, config.window_stride, config.depth, **ranked, normalize=normalize
        ),
    }
    pool = pools[config.method]()
    return pool if config.pyramid == 1 else encoders.TemporalPyramid(config.pyramid, pool=pool, normalize=normalize)
