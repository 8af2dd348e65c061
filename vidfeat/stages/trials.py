"""Training on one or several sets of codes, and the choice between them by cross-validation.

With one set there is nothing to choose. With several, the set (such as the C of rank pooling) and the SVM's C are
chosen together: each set has its score at its own best C, over the same folds of the training items. The highest wins;
of equal scores the first set in natural order (the smallest C of rank pooling), and in a set the smallest C of the SVM.
Test items have no part in it; leaving one group out, each fold makes its own choice without its group.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidfeat.classify.bases import Bases
from vidfeat.classify.crossval import CrossValidation
from vidfeat.classify.kernel_model import KernelModel
from vidfeat.progress import Progress
from vidfeat.stages import scores
from vidfeat.stages.config.svm import SvmTrainConfig
from vidfeat.stages.fitting import Fitted, bases_of, device_of, fit, solver_of
from vidfeat.stages.grams import PRECOMPUTED
from vidfeat.stages.labelled import LabelledCodes
from vidfeat.stages.sets import rank_pooling_C
from vidfeat.stages.task import Task

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class Trial:
    """What one set of codes gave."""

    set: str
    model: Fitted  # trained on the whole training part
    solver: str  # libsvm or liblinear
    test_scores: np.ndarray  # [test items, classes]
    test_probabilities: np.ndarray | None  # the same, with --probabilities
    fold_scores: tuple[float, ...]  # leaving one group out of several sets: the score inside each fold, else empty
    order_error_mean: float | None

    @property
    def validation(self) -> CrossValidation | None:
        """On the training part; None if there was nothing to choose."""
        return self.model.validation


def try_set(name: str, data: LabelledCodes, task: Task, config: SvmTrainConfig, one_of_several: bool) -> Trial:
    """Train on the set whose codes ``data`` has, and score the test items; the Gram matrix is computed once."""
    train_part, test_part = task.parts(data)
    solver = solver_of(config, len(train_part.ids))
    whole = bases_of(data, config, solver) if config.kernel == PRECOMPUTED else None
    bases = bases_of(train_part, config, solver) if whole is None else whole.part(np.array(task.train_rows))
    fold_scores: tuple[float, ...] = ()
    if task.leave_one_group_out:
        test_scores, probabilities, fold_scores = _leave_one_group_out(data, bases, task, config, one_of_several)
    y, classes = task.targets(train_part)
    model = fit(train_part, y, classes, bases, config, one_of_several, show_progress=not task.leave_one_group_out)
    if not task.leave_one_group_out and whole is not None:
        test_scores = _held_out_scores(model, data, whole, np.array(task.train_rows), np.array(task.test_rows))
    elif not task.leave_one_group_out:
        test_scores = model.model.scores(test_part.arrays, device_of(config.device, len(test_part.ids)))
    if not task.leave_one_group_out:
        probabilities = model.calibration.probabilities(test_scores) if model.calibration else None
    if one_of_several:
        log.info("Set %s: %s %.4f by cross-validation.", name, model.validation.measure, model.validation.score)
    return Trial(name, model, solver, test_scores, probabilities, fold_scores, _mean_order_error(data))


def best(validation_scores: Sequence[float]) -> int:
    """Place of the highest score; the first of equal ones."""
    return int(np.argmax(validation_scores))


def choose(trials: list[Trial], groups: Sequence[str]) -> tuple[Trial, np.ndarray, list[str]]:
    """The set chosen, test scores ``[test items, classes]``, and the set that each group left out was predicted with.

    ``groups`` are those of the test items. Without folds (a split, or one set) the list is empty.
    """
    chosen = trials[best([trial.validation.score for trial in trials])] if len(trials) > 1 else trials[0]
    if not chosen.fold_scores:
        return chosen, chosen.test_scores, []
    names, fold_of = np.unique(groups, return_inverse=True)
    picks = [best([trial.fold_scores[fold] for trial in trials]) for fold in range(len(names))]
    test_scores = np.array([trials[picks[fold]].test_scores[row] for row, fold in enumerate(fold_of)])
    return chosen, test_scores, [trials[pick].set for pick in picks]


def probabilities(
    trials: list[Trial], chosen: Trial, groups: Sequence[str], sets_of_folds: list[str]
) -> np.ndarray | None:
    """Those that belong to the test scores of :func:`choose`; None without ``--probabilities``."""
    if not sets_of_folds or chosen.test_probabilities is None:
        return chosen.test_probabilities
    of_set = {trial.set: trial.test_probabilities for trial in trials}
    _, fold_of = np.unique(groups, return_inverse=True)
    return np.array([of_set[sets_of_folds[fold]][row] for row, fold in enumerate(fold_of)])


def validation_facts(trials: list[Trial], chosen: Trial, sets_of_folds: list[str]) -> dict[str, Any] | None:
    """The entry ``cross_validation`` of model.json and results.json; None if nothing was chosen.

    grid, scores: of the chosen set, and if several were tried, gammas (multiples of 1 / mean distance), gamma, and
    scores_by_gamma [gammas][grid]. With several sets also ``sets`` (set -> its best C and score), and leaving one
    group out ``chosen_in_folds`` (set -> groups that were predicted with it).
    """
    if chosen.validation is None:
        return None
    found = chosen.validation
    facts = {"grid": list(found.grid), "scores": list(found.scores), "measure": found.measure, "folds": found.n_folds}
    if len(found.gammas) > 1:
        facts |= {"gamma": found.gamma, "gammas": list(found.gammas)}
        facts["scores_by_gamma"] = [list(of_gamma) for of_gamma in found.scores_by_gamma]
    if len(trials) > 1:
        facts["sets"] = {t.set: {"C": t.validation.C, "score": t.validation.score} for t in trials}
    if sets_of_folds:
        counts = Counter(sets_of_folds)
        facts["chosen_in_folds"] = {trial.set: counts[trial.set] for trial in trials}
    return facts


def sensitivity(trials: list[Trial], chosen: Trial, split: str, test: LabelledCodes, classes: list[str]) -> dict:
    """The content of sensitivity.json: what every set gives. For looking only, the choice knows no test item.

    ``measure`` is accuracy, or map for items with several labels. Leaving one group out, ``test_…`` of a set is that
    set in every fold, with the SVM's C chosen in the fold. ``interval95`` is None for map, or for a single test group.
    """
    measure = chosen.validation.measure
    rows = []
    for trial in trials:
        interval = None
        if measure == "accuracy":
            found = scores.intervals(scores.judge(test.labels, trial.test_scores, classes), test.groups)
            interval = found and found["accuracy"]
        rows.append(
            {
                "set": trial.set,
                "C": rank_pooling_C(trial.set),
                "svm_C": trial.model.C,
                f"cv_{measure}": trial.validation.score,
                f"test_{measure}": scores.figures(test.labels, trial.test_scores, classes)[measure],
                "interval95": interval,
                "order_error_mean": trial.order_error_mean,
            }
        )
    return {"measure": measure, "split": split, "chosen": chosen.set, "sets": rows}


def _leave_one_group_out(
    data: LabelledCodes, bases: Bases | None, task: Task, config: SvmTrainConfig, one_of_several: bool
) -> tuple[np.ndarray, np.ndarray | None, tuple[float, ...]]:
    """Scores, and probabilities if they are asked for, of every item by a model that never saw its group; a class that
    a fold lacks scores −inf in it.

    With several sets also the score of the cross-validation inside every fold, by sorted group.
    """
    groups = sorted(set(data.groups))
    result = np.full((len(data.ids), len(task.classes)), -np.inf)
    calibrated = np.zeros(result.shape) if config.probabilities else None
    validations = []
    with Progress(len(groups), unit="groups") as progress:
        for group in groups:
            is_test = np.array([own == group for own in data.groups])
            train_rows, test_rows = np.flatnonzero(~is_test), np.flatnonzero(is_test)
            part = data.take(train_rows)
            y, known = task.targets(part)
            model = fit(part, y, known, None if bases is None else bases.part(train_rows), config, one_of_several)
            place = np.ix_(test_rows, [task.classes.index(name) for name in known])
            found = _held_out_scores(model, data, bases, train_rows, test_rows)
            result[place] = found
            if calibrated is not None:
                calibrated[place] = model.calibration.probabilities(found)
            validations.append(model.validation)
            progress.item_done("done")
    return result, calibrated, tuple(found.score for found in validations) if one_of_several else ()


def _held_out_scores(model: Fitted, data: LabelledCodes, bases: Bases | None, train_rows, test_rows) -> np.ndarray:
    if isinstance(model.model, KernelModel):  # the kernel between all items is there already
        return model.model.scores_of_kernel(bases.cross(test_rows, train_rows[model.support], model.model.blend))
    return model.model.scores(data.take(test_rows).arrays)


def _mean_order_error(data: LabelledCodes) -> float | None:
    """Over the items of two frames or more; None if the file does not say."""
    known = np.empty(0) if data.order_error is None else data.order_error[~np.isnan(data.order_error)]
    return float(known.mean()) if known.size else None
