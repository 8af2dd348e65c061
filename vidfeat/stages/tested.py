"""Runs as they were tested: predictions, groups and figures, and whether two of them judged the same items.

Reads any RUN folder with ``results.json`` and ``predictions.csv``, whatever trained it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.metrics import Outcome
from vidfeat.stages import runs, scores

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class TestedRun:
    """The test items of a run; all sequences have one entry per item, in the order of ``predictions.csv``."""

    folder: Path
    ids: list[str]
    labels: list[tuple[str, ...]]
    groups: list[str]  # of recording or person; an item without one is its own
    scores: np.ndarray  # [items, classes]
    classes: list[str]
    results: dict[str, Any]
    meta: dict[str, Any]  # of model.json, empty if there is none

    @property
    def split(self) -> str | None:
        return self.results.get("split")

    def outcome(self) -> Outcome:
        """What is right and wrong."""
        return scores.judge(self.labels, self.scores, self.classes)

    def figures(self) -> dict[str, Any]:
        """Those of ``results.json``, anew from the scores."""
        return scores.figures(self.labels, self.scores, self.classes)


def read_tested(folder: Path) -> TestedRun:
    """Read one run; UsageError in words if it is none, or its files do not fit together."""
    results = runs.read_json(folder, "results.json")
    ids, labels, values, classes = runs.read_predictions(folder)
    meta = runs.read_json(folder, "model.json") if (folder / "model.json").is_file() else {}
    if not ids or len(classes) < 2 or len(set(ids)) < len(ids):
        raise UsageError(
            f"{folder}/predictions.csv has {len(ids)} rows ({len(set(ids))} different ids) and scores of "
            f"{len(classes)} classes; a run has one row of each test item, and two classes or more. Train again."
        )
    unlabelled = sum(not own for own in labels)
    if unlabelled != results.get("n_test_unlabelled", 0):
        raise UsageError(f"{folder}/predictions.csv: {unlabelled} of {len(ids)} items have no label to judge them by.")
    if np.isnan(values).any():
        row = int(np.flatnonzero(np.isnan(values).any(axis=1))[0])
        raise UsageError(f"{folder}/predictions.csv: a score of {ids[row]!r} is NaN. Train again.")
    groups = results.get("test_groups", meta.get("test_groups"))
    if groups is None:
        log.warning("%s does not say the groups of its test items; each counts as its own.", folder)
        groups = ids
    if len(groups) != len(ids):
        raise UsageError(f"{folder} has {len(groups)} test groups, but predictions.csv has {len(ids)} rows.")
    return TestedRun(folder, ids, labels, list(groups), values, classes, results, meta)


def check_different(folders: Sequence[Path]) -> None:
    """UsageError if a run was given twice."""
    places = [folder.resolve() for folder in folders]
    if twice := [folder for folder, place in zip(folders, places, strict=True) if places.count(place) > 1]:
        raise UsageError(f"The run {twice[0]} came {len(twice)} times. Give each run once.")


def in_order_of(first: TestedRun, other: TestedRun) -> TestedRun:
    """``other`` with items and classes in the order of ``first``; UsageError naming the first difference."""
    _check_same(first, other, "classes", first.classes, other.classes)
    _check_same(first, other, "test items", first.ids, other.ids)
    row_of = {item_id: row for row, item_id in enumerate(other.ids)}
    rows = [row_of[item_id] for item_id in first.ids]
    columns = [other.classes.index(name) for name in first.classes]
    other = replace(
        other,
        ids=first.ids,
        classes=first.classes,
        labels=[other.labels[row] for row in rows],
        groups=[other.groups[row] for row in rows],
        scores=other.scores[np.ix_(rows, columns)],
    )
    for what, ours, theirs in (("label", first.labels, other.labels), ("group", first.groups, other.groups)):
        for item_id, mine, its in zip(first.ids, ours, theirs, strict=True):
            if set(_listed(mine)) != set(_listed(its)):
                raise UsageError(
                    f"{first.folder} and {other.folder} do not agree on the {what} of {item_id!r}: "
                    f"{'|'.join(_listed(mine))} there, {'|'.join(_listed(its))} here. Train both with the same "
                    "manifest and the same --merge-labels."
                )
    return other


def same_training(first: TestedRun, other: TestedRun) -> str:
    """What is different in the items that the two were trained on, in words; empty if nothing."""
    a, b = (run.results.get("train_ids_sha256") for run in (first, other))
    if a == b and first.split == other.split:
        return ""
    said = [f"{run.folder} on {run.results.get('n_train')} items of {run.split!r}" for run in (first, other)]
    return "were not trained on the same items: " + ", ".join(said)


def _check_same(first: TestedRun, other: TestedRun, what: str, ours: Sequence[str], theirs: Sequence[str]) -> None:
    for has, lacks, entries, others in ((first, other, ours, theirs), (other, first, theirs, ours)):
        known = set(others)
        missing = [entry for entry in entries if entry not in known]
        if missing:
            raise UsageError(
                f"{first.folder} and {other.folder} have different {what}: {missing[0]!r} is in {has.folder}, not in "
                f"{lacks.folder} ({len(missing)} such of {len(entries)}). Train both with the same manifest, split and "
                "--merge-labels."
            )


def _listed(entry: str | tuple[str, ...]) -> tuple[str, ...]:
    return (entry,) if isinstance(entry, str) else entry
