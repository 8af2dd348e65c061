"""``vidfeat svm train|predict|eval``: one-vs-rest linear SVMs on codes."""

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.classify.crossval import CrossValidation, choose_C
from vidfeat.classify.labels import class_names, indicator
from vidfeat.classify.splits import check_disjoint
from vidfeat.classify.svm import LibSVC
from vidfeat.errors import UsageError
from vidfeat.kernels import linear_gram
from vidfeat.progress import Progress
from vidfeat.stages import runs, scores
from vidfeat.stages.config.options import as_json
from vidfeat.stages.config.svm import SvmEvalConfig, SvmPredictConfig, SvmTrainConfig
from vidfeat.stages.labelled import (
    LabelledCodes,
    choose_split,
    labelled_only,
    merge_labels,
    read_labelled,
    split_rows,
    training_classes,
)
from vidfeat.stages.summary import Summary
from vidfeat.store import open_codes

log = logging.getLogger("vidfeat")

LEAVE_ONE_GROUP_OUT = "leave-one-group-out"


@dataclass(frozen=True)
class ScoresSummary:
    """The content of results.json, with intervals where they were asked for."""

    results: dict[str, Any]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    exit_code: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {**self.results, **({"intervals": self.intervals} if self.intervals else {})}


def train(config: SvmTrainConfig) -> ScoresSummary:
    """Train on the split's training part (or leave one group out), predict the test part, and write RUN.

    The model that RUN keeps is trained on the training part; with ``leave_one_group_out`` on all items.
    """
    runs.check_free(config.output, config.overwrite)
    data, renamed = merge_labels(read_labelled(config.codes, config.set, config.manifest), config.merge_labels)
    if config.leave_one_group_out:
        train_part, test_part = data, data
        classes = training_classes(data)
        test_scores = _leave_one_group_out(data, classes, config)
        split = LEAVE_ONE_GROUP_OUT
    else:
        split = choose_split(data, config.split)
        train_rows, test_rows = split_rows(data, split)
        train_part, test_part = data.take(train_rows), data.take(test_rows)
        check_disjoint(train_part.ids, test_part.ids, train_part.groups, test_part.groups)
        classes, test_part = training_classes(train_part), labelled_only(test_part)
        _warn_of_unseen(test_part, classes)
    model, chosen = fit(train_part, classes, linear_gram(train_part.codes), config)
    weights, biases = model.linear_model()
    meta = {**_meta(config, split, train_part, test_part, classes, model, chosen), "merge_labels": renamed}
    run = runs.LinearRun(weights, biases, meta)
    if not config.leave_one_group_out:
        test_scores = run.scores(test_part.codes)
    results = {
        "split": split,
        "n_train": len(train_part.ids),
        "n_test": len(test_part.ids),
        **scores.figures(test_part.labels, test_scores, classes),
        "C": model.C,
        "config": as_json(config),
        "train_ids_sha256": meta["train_ids_sha256"],
    }
    parts = ["test"] * len(test_part.ids)
    runs.write_run(config.output, run, results, (test_part.ids, parts, test_part.labels, test_scores, classes))
    return ScoresSummary(results)


def fit(
    part: LabelledCodes, classes: list[str], gram: np.ndarray, config: SvmTrainConfig
) -> tuple[LibSVC, CrossValidation | None]:
    """Choose C on this part alone, if it is to be chosen, and train."""
    y = targets(part, classes)
    chosen = None
    if config.C == "auto":
        chosen = choose_C(gram, y, part.groups, n_folds=config.folds)
        log.debug("C = %g by cross-validation: %s", chosen.C, dict(zip(chosen.grid, chosen.scores, strict=True)))
    model = LibSVC(C=chosen.C if chosen else float(config.C))
    return model.fit(part.codes, y, gram=gram), chosen


def targets(part: LabelledCodes, classes: list[str]) -> np.ndarray:
    """Class numbers ``[n]`` if every item has one label, else the indicator matrix ``[n, classes]``."""
    matrix = indicator(part.labels, classes)
    return matrix.argmax(axis=1) if (matrix.sum(axis=1) == 1).all() else matrix.astype(int)


def _leave_one_group_out(data: LabelledCodes, classes: list[str], config: SvmTrainConfig) -> np.ndarray:
    """Scores of every item by a model that never saw its group; a class that a fold lacks scores −inf in it."""
    groups = sorted(set(data.groups))
    if len(groups) < 2:
        raise UsageError(
            f"--leave-one-group-out needs two groups or more; all {len(data.ids)} items are in {groups[0]!r}. "
            "Give --manifest with a group column."
        )
    gram = linear_gram(data.codes)
    result = np.full((len(data.ids), len(classes)), -np.inf)
    with Progress(len(groups), unit="groups") as progress:
        for group in groups:
            is_test = np.array([own == group for own in data.groups])
            train_rows, test_rows = np.flatnonzero(~is_test), np.flatnonzero(is_test)
            part = data.take(train_rows)
            known = training_classes(part)
            model, _ = fit(part, known, gram[np.ix_(train_rows, train_rows)], config)
            weights, biases = model.linear_model()
            columns = [classes.index(name) for name in known]
            result[np.ix_(test_rows, columns)] = data.codes[test_rows].astype(np.float64) @ weights.T + biases
            progress.item_done("done")
    return result


def _meta(
    config: SvmTrainConfig,
    split: str,
    train_part: LabelledCodes,
    test_part: LabelledCodes,
    classes: list[str],
    model: LibSVC,
    chosen: CrossValidation | None,
) -> dict[str, Any]:
    return {
        "format": runs.FORMAT,
        "version": runs.VERSION,
        "classes": classes,
        "dimension": int(train_part.codes.shape[1]),
        "kernel": "linear",
        "centring": {"grand_mean": model.centring_.grand_mean, "scale": model.centring_.scale},
        "C": model.C,
        "cross_validation": None if chosen is None else {
            "grid": chosen.grid, "scores": chosen.scores, "measure": chosen.measure, "folds": chosen.n_folds,
        },
        "set": config.set,
        "split": split,
        "train_ids": train_part.ids,
        "train_ids_sha256": hashlib.sha256("\n".join(train_part.ids).encode()).hexdigest(),
        "test_groups": test_part.groups,
        "provenance": train_part.provenance,
    }  # fmt: skip


def _warn_of_unseen(test_part: LabelledCodes, classes: list[str]) -> None:
    unseen = sorted(set(class_names(test_part.labels)) - set(classes))
    if unseen:
        log.warning("Test labels that no training item has count as errors: %s.", ", ".join(unseen))


def predict(config: SvmPredictConfig) -> Summary:
    """Score every item of a codes file made with the run's own extraction and encoding."""
    runs.check_table(config.output)
    run = runs.read_run(config.run)
    with open_codes(config.codes) as stored:
        check_same_codes(run.meta["provenance"], stored.provenance, config.codes)
        ids, labels = list(stored.ids), run.joined(stored.labels)
        result = run.scores(stored.codes(run.meta["set"]))
    trained = set(run.meta["train_ids"]) & set(ids)
    if trained:
        log.warning("%d of %d items were in the training part; figures on them say nothing.", len(trained), len(ids))
    parts = ["train" if item_id in trained else "" for item_id in ids]
    runs.write_predictions(config.output, ids, parts, labels, result, run.classes)
    return Summary({"output": str(config.output), "items": len(ids)})


def check_same_codes(trained: dict[str, Any], given: dict[str, Any], path: Any) -> None:
    """UsageError unless both codes come from the same features and encoding."""
    names = ("features_fingerprint", "feature", "encode")
    differ = [name for name in names if trained.get(name) != given.get(name)]
    if differ:
        said = "; ".join(f"{name}: {given.get(name)} there, {trained.get(name)} in the run" for name in differ)
        raise UsageError(
            f"The codes of {path} were not made as the run's were ({said}). Extract and encode with the same options."
        )


def evaluate(config: SvmEvalConfig) -> ScoresSummary | Summary:
    """Figures of one run, or of several side by side."""
    if len(config.runs) == 1:
        return evaluate_run(config.runs[0], config)
    tested = [runs.read_predictions(folder)[0] for folder in config.runs]
    if any(ids != tested[0] for ids in tested):
        log.warning("The runs were not tested on the same items, so their figures cannot be compared.")
    found = [{"run": str(folder), **evaluate_run(folder, config).as_dict()} for folder in config.runs]
    return Summary({"runs": found})


def evaluate_run(folder: Path, config: SvmEvalConfig) -> ScoresSummary:
    """Figures from predictions.csv, with intervals by resampling the groups of the test items."""
    ids, labels, test_scores, classes = runs.read_predictions(folder)
    results = runs.read_json(folder, "results.json")
    meta = runs.read_json(folder, "model.json")
    results = {**results, **scores.figures(labels, test_scores, classes)}
    if not config.bootstrap:
        return ScoresSummary(results)
    groups = meta["test_groups"]
    if len(groups) != len(ids):
        raise UsageError(f"{folder}: model.json has {len(groups)} test groups, predictions.csv has {len(ids)} rows.")
    found = scores.intervals(labels, test_scores, classes, groups, n_resamples=config.bootstrap, seed=config.seed)
    return ScoresSummary(results, found)
