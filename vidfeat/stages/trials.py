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

from vidfeat.classify.crossval import C_GRID, CrossValidation, choose_C
from vidfeat.classify.labels import indicator
from vidfeat.classify.svm import LibSVC
from vidfeat.errors import UsageError
from vidfeat.kernels import linear_gram
from vidfeat.progress import Progress
from vidfeat.stages import scores
from vidfeat.stages.config.svm import SvmTrainConfig
from vidfeat.stages.labelled import LabelledCodes, training_classes
from vidfeat.stages.sets import rank_pooling_C

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class Task:
    """Who trains and who is tested: rows of the data, the same for every set."""

    train_rows: list[int]
    test_rows: list[int]  # leaving one group out: all, as are the rows of training
    classes: list[str]
    leave_one_group_out: bool

    def parts(self, data: LabelledCodes) -> tuple[LabelledCodes, LabelledCodes]:
        """The items of training and of the test."""
        return (data, data) if self.leave_one_group_out else (data.take(self.train_rows), data.take(self.test_rows))


@dataclass(frozen=True)
class Trial:
    """What one set of codes gave."""

    set: str
    model: LibSVC  # trained on the whole training part
    validation: CrossValidation | None  # on the training part; None if there was nothing to choose
    test_scores: np.ndarray  # [test items, classes]
    fold_scores: tuple[float, ...]  # leaving one group out of several sets: the score inside each fold, else empty
    order_error_mean: float | None


def try_set(name: str, data: LabelledCodes, task: Task, config: SvmTrainConfig, one_of_several: bool) -> Trial:
    """Train on the set whose codes ``data`` has, and score the test items; the Gram matrix is computed once."""
    train_part, test_part = task.parts(data)
    gram = linear_gram(train_part.codes)
    fold_scores: tuple[float, ...] = ()
    if task.leave_one_group_out:
        test_scores, fold_scores = _leave_one_group_out(data, gram, task.classes, config, one_of_several)
    model, validation = fit(train_part, task.classes, gram, config, one_of_several)
    if not task.leave_one_group_out:
        test_scores = _linear_scores(model, test_part.codes)
    if one_of_several:
        log.info("Set %s: %s %.4f by cross-validation.", name, validation.measure, validation.score)
    return Trial(name, model, validation, test_scores, fold_scores, _mean_order_error(data))


def fit(
    part: LabelledCodes, classes: list[str], gram: np.ndarray, config: SvmTrainConfig, one_of_several: bool
) -> tuple[LibSVC, CrossValidation | None]:
    """Choose C on this part alone, if it is to be chosen, and train. One of several sets is scored at a fixed C too."""
    y = targets(part, classes)
    chosen = None
    if config.C == "auto" or one_of_several:
        grid = C_GRID if config.C == "auto" else (float(config.C),)
        chosen = choose_C(gram, y, part.groups, grid, n_folds=config.folds)
        log.debug("C = %g by cross-validation: %s", chosen.C, dict(zip(chosen.grid, chosen.scores, strict=True)))
    model = LibSVC(C=chosen.C if chosen else float(config.C))
    return model.fit(part.codes, y, gram=gram), chosen


def targets(part: LabelledCodes, classes: list[str]) -> np.ndarray:
    """Class numbers ``[n]`` if every item has one label, else the indicator matrix ``[n, classes]``."""
    matrix = indicator(part.labels, classes)
    return matrix.argmax(axis=1) if (matrix.sum(axis=1) == 1).all() else matrix.astype(int)


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


def validation_facts(trials: list[Trial], chosen: Trial, sets_of_folds: list[str]) -> dict[str, Any] | None:
    """The entry ``cross_validation`` of model.json and results.json; None if nothing was chosen.

    grid, scores: of the chosen set. With several sets also ``sets`` (set -> its best C and score), and leaving one
    group out ``chosen_in_folds`` (set -> groups that were predicted with it).
    """
    if chosen.validation is None:
        return None
    found = chosen.validation
    facts = {"grid": list(found.grid), "scores": list(found.scores), "measure": found.measure, "folds": found.n_folds}
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
        if measure == "accuracy" and len(set(test.groups)) > 1:
            interval = scores.accuracy_interval(test.labels, trial.test_scores, classes, test.groups)
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
    data: LabelledCodes, gram: np.ndarray, classes: list[str], config: SvmTrainConfig, one_of_several: bool
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Scores of every item by a model that never saw its group; a class that a fold lacks scores −inf in it.

    With several sets also the score of the cross-validation inside every fold, by sorted group.
    """
    groups = sorted(set(data.groups))
    if len(groups) < 2:
        raise UsageError(
            f"--leave-one-group-out needs two groups or more; all {len(data.ids)} items are in {groups[0]!r}. "
            "Give --manifest with a group column."
        )
    result = np.full((len(data.ids), len(classes)), -np.inf)
    validations = []
    with Progress(len(groups), unit="groups") as progress:
        for group in groups:
            is_test = np.array([own == group for own in data.groups])
            train_rows, test_rows = np.flatnonzero(~is_test), np.flatnonzero(is_test)
            part = data.take(train_rows)
            known = training_classes(part)
            model, validation = fit(part, known, gram[np.ix_(train_rows, train_rows)], config, one_of_several)
            columns = [classes.index(name) for name in known]
            result[np.ix_(test_rows, columns)] = _linear_scores(model, data.codes[test_rows])
            validations.append(validation)
            progress.item_done("done")
    return result, tuple(found.score for found in validations) if one_of_several else ()


def _linear_scores(model: LibSVC, codes: np.ndarray) -> np.ndarray:
    weights, biases = model.linear_model()
    return codes.astype(np.float64) @ weights.T + biases


def _mean_order_error(data: LabelledCodes) -> float | None:
    """Over the items of two frames or more; None if the file does not say."""
    known = np.empty(0) if data.order_error is None else data.order_error[~np.isnan(data.order_error)]
    return float(known.mean()) if known.size else None
