"""``vidfeat svm train|predict|eval``: SVMs on codes."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidfeat.errors import UsageError
from vidfeat.stages import runs, scores, trials
from vidfeat.stages.config.options import as_json
from vidfeat.stages.config.svm import SvmEvalConfig, SvmTrainConfig
from vidfeat.stages.grams import PRECOMPUTED, SET, read_labelled_grams
from vidfeat.stages.labelled import LabelledCodes, merge_labels, read_labelled, with_set
from vidfeat.stages.sets import sets_to_try
from vidfeat.stages.several import beside, sets_of_each
from vidfeat.stages.summary import Summary
from vidfeat.stages.task import make_task
from vidfeat.stages.tested import read_tested
from vidfeat.stages.trained import predict

__all__ = ["ScoresSummary", "evaluate", "evaluate_run", "predict", "train", "unlabelled_count"]

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class ScoresSummary:
    """The content of results.json, with intervals where they were asked for."""

    results: dict[str, Any]
    intervals: dict[str, list[float]] = field(default_factory=dict)
    exit_code: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {**self.results, **({"intervals": self.intervals} if self.intervals else {})}


def train(config: SvmTrainConfig) -> ScoresSummary:
    """Train on the split's training part (or leave one group out), predict the test part, and write RUN.

    Of several sets of codes the one is taken that cross-validation on the training part prefers (see
    :mod:`vidfeat.stages.trials`). The model that RUN keeps is trained on the training part; with
    ``leave_one_group_out`` on all items.
    """
    runs.check_free(config.output, config.overwrite)
    data, names = _read(config)
    data, renamed = merge_labels(data, config.merge_labels)
    task = make_task(data, config.split, config.leave_one_group_out, config.unlabelled)
    found = []
    for name in names:
        data = data if name == names[0] else with_set(data, config.codes[0], name)
        found.append(trials.try_set(name, data, task, config, one_of_several=len(names) > 1))
    train_part, test_part = task.parts(data)
    chosen, test_scores, sets_of_folds = trials.choose(found, test_part.groups)
    probabilities = trials.probabilities(found, chosen, test_part.groups, sets_of_folds)
    model = chosen.model
    how = {
        "kernel": config.kernel,
        "gamma": list(model.gammas) if len(config.codes) > 1 else model.gamma,
        "multiclass": config.multiclass,
        "class_weights": config.class_weights,
        "solver": chosen.solver,
    }
    centring = model.centring and {"grand_mean": model.centring.grand_mean, "scale": model.centring.scale}
    meta = {
        "format": runs.FORMAT,
        "version": runs.version_of(model.model),
        "classes": task.classes,
        "dimension": sum(codes.shape[1] for codes in data.arrays),
        **how,
        "centring": centring,
        "C": model.C,
        "cross_validation": trials.validation_facts(found, chosen, sets_of_folds),
        "set": chosen.set,
        "split": task.split,
        "train_ids": train_part.ids,
        "train_ids_sha256": hashlib.sha256("\n".join(train_part.ids).encode()).hexdigest(),
        "test_groups": test_part.groups,
        "provenance": train_part.provenance,
        "sources": _sources(data, chosen.set),
        "merge_labels": renamed,
    }
    if model.support is not None:
        meta["support_vectors"] = len(model.support)
    if config.kernel == PRECOMPUTED:
        meta["support_ids"] = [train_part.ids[row] for row in model.support]
    if model.calibration is not None:
        meta["calibration"] = model.calibration.as_dict()
    results = {
        "split": task.split,
        "n_train": len(train_part.ids),
        "n_test": len(test_part.ids),
        **unlabelled_count(test_part.labels),
        **scores.figures(test_part.labels, test_scores, task.classes),
        **{name: meta[name] for name in ("set", "C", "cross_validation")},
        **how,
        "config": as_json(config),
        "train_ids_sha256": meta["train_ids_sha256"],
    }
    parts = ["test"] * len(test_part.ids)
    predictions = (test_part.ids, parts, test_part.labels, test_scores, task.classes, probabilities)
    more = {}
    if len(names) > 1:
        more["sensitivity.json"] = trials.sensitivity(found, chosen, task.split, test_part, task.classes)
    support = [] if model.support is None else [train_part.ids[row] for row in model.support]
    runs.write_run(config.output, runs.Run(model.model, meta, support), results, predictions, more)
    return ScoresSummary(results)


def _read(config: SvmTrainConfig) -> tuple[LabelledCodes, list[str]]:
    """The codes to begin with, and the names of the sets to try; of several files there is one set each."""
    if config.kernel == PRECOMPUTED:
        _check_once(config.codes, [SET] * len(config.codes))
        return read_labelled_grams(config.codes, config.manifest), [SET]
    first, *others = config.codes
    if not others:
        names = sets_to_try(first, config.set)
        return read_labelled(first, names[0], config.manifest), names
    sets = sets_of_each(config.codes, config.set)
    _check_once(config.codes, sets)
    data = read_labelled(first, sets[0], config.manifest)
    return beside(data, others, sets[1:], exactly=config.manifest is None), [" + ".join(sets)]


def _check_once(paths: Sequence[Path], sets: Sequence[str]) -> None:
    given = [(path.resolve(), name) for path, name in zip(paths, sets, strict=True)]
    if twice := [path for path, entry in zip(paths, given, strict=True) if given.count(entry) > 1]:
        raise UsageError(f"{twice[0]} came {len(twice)} times with the same set of codes. Give it once.")


def _sources(data: LabelledCodes, chosen: str) -> list[dict[str, Any]]:
    """Per codes file: its set, number of dimensions, and provenance."""
    named = [{"set": source["set"], "provenance": source["provenance"]} for source in data.sources]
    if len(named) == 1:  # the last set that was read need not be the chosen one
        named[0]["set"] = chosen
    return [{**source, "dimension": X.shape[1]} for source, X in zip(named, data.arrays, strict=True)]


def unlabelled_count(labels: Sequence[tuple[str, ...]]) -> dict[str, int]:
    """The entry of results.json for test items that belong to no class; nothing if there are none."""
    count = sum(not own for own in labels)
    return {"n_test_unlabelled": count} if count else {}


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
    run = read_tested(folder)
    results = {**run.results, **run.figures()}
    if not config.bootstrap:
        return ScoresSummary(results)
    found = scores.intervals(run.outcome(), run.groups, n_resamples=config.bootstrap, seed=config.seed)
    if found is None:
        log.warning("%s: all test items are in one group (%s), so there are no intervals.", folder, run.groups[0])
    return ScoresSummary(results, found or {})
