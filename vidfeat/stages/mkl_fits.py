"""Single trainings of ``vidfeat mkl``: C at uniform weights, then the weights, on any rows of the items."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from vidfeat.classify.crossval import C_GRID, choose_C
from vidfeat.classify.mkl import MultipleKernelSVC, uniform_gram
from vidfeat.classify.mkl_levels import level_nodes
from vidfeat.progress import Progress
from vidfeat.stages.config.mkl import MklTrainConfig
from vidfeat.stages.labelled import LabelledCodes
from vidfeat.stages.mkl_streams import Stream
from vidfeat.stages.task import Task, training_classes

log = logging.getLogger("vidfeat")

# The columns of the table by level, as Tables 2 and 3 of A. Mazari, H. Sahbi, *Action Recognition with Deep Multiple
# Aggregation Networks*, 2020, have them for learnt weights; uniform weights beside them.
COLUMNS = tuple((combination, m) for combination in ("concatenation", "averaging") for m in ("uniform", "simplemkl"))


@dataclass(frozen=True)
class Cell:
    """What is trained: the method, how nodes are combined, and the levels used (None: all)."""

    method: str
    combination: str
    levels: int | None

    def nodes(self, stream: Stream) -> np.ndarray:
        return stream.nodes if self.levels is None else stream.nodes[:, : level_nodes(self.levels).stop]


@dataclass(frozen=True)
class Fitted:
    """A model, and how its C was chosen."""

    model: MultipleKernelSVC
    validation: dict[str, Any] | None
    cell: Cell

    def scores(self, streams: Sequence[Stream], rows: Sequence[int]) -> np.ndarray:
        """Scores ``[rows, the model's classes]``."""
        return self.model.class_scores([self.cell.nodes(stream)[list(rows)] for stream in streams])

    def facts(self) -> dict[str, Any]:
        """What is known about the weights, for results.json."""
        model = self.model
        facts = {"method": model.method, "combination": model.combination, "beta": model.beta, "simplex": model.simplex}
        facts |= {"objective": model.objective_, "steps": model.n_iter_, "machines_trained": model.n_svm_}
        for name in ("duality_gap", "stationarity", "level"):
            value = getattr(model, f"{name}_")
            facts |= {} if value is None else {name: value}
        return facts


def fit(
    items: LabelledCodes, streams: Sequence[Stream], rows: Sequence[int], task: Task, config: MklTrainConfig, cell: Cell
) -> Fitted:
    """Choose C on these rows alone, at uniform weights, and learn the weights.

    One C for all ways of weighting makes them comparable, and takes one Gram matrix instead of a training per value.
    """
    part, rows = items.take(rows), list(rows)
    y, _ = task.targets(part)
    nodes = [cell.nodes(stream)[rows] for stream in streams]
    model = MultipleKernelSVC(
        method=cell.method, combination=cell.combination, kernel=config.kernel, gamma=config.gamma, beta=config.beta,
        simplex=config.simplex, centre=config.centre, tol=config.tolerance, max_iter=config.max_iter,
        memory_gb=config.memory,
    )  # fmt: skip
    validation = None
    if config.C == "auto":
        found = choose_C(uniform_gram(model, nodes), y, part.groups, C_GRID, n_folds=config.folds, centre=False)
        validation = {
            "grid": list(found.grid), "scores": list(found.scores), "measure": found.measure, "folds": found.n_folds,
        }  # fmt: skip
        model.set_params(C=found.C)
    else:
        model.set_params(C=float(config.C))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(nodes, y, groups=part.groups)
    for warning in caught:
        log.warning("%s", warning.message)
    return Fitted(model, validation, cell)


def held_out_scores(
    items: LabelledCodes,
    streams: Sequence[Stream],
    task: Task,
    config: MklTrainConfig,
    cell: Cell,
    progress: Progress,
) -> np.ndarray:
    """Scores of every item by a model that never saw its group; a class that a fold lacks scores −inf in it."""
    result = np.full((len(items.ids), len(task.classes)), -np.inf)
    groups = np.array(items.groups)
    for group in sorted(set(items.groups)):
        train_rows, test_rows = np.flatnonzero(groups != group), np.flatnonzero(groups == group)
        fitted = fit(items, streams, train_rows, task, config, cell)
        columns = [task.classes.index(name) for name in training_classes(items.take(train_rows), task.negatives)]
        result[np.ix_(test_rows, columns)] = fitted.scores(streams, test_rows)
        progress.item_done("done")
    return result
