"""What ``svm train`` and ``mkl train`` are given to do: who trains, who is tested, and on which classes."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidfeat.classify.labels import class_names, indicator
from vidfeat.classify.splits import check_disjoint
from vidfeat.errors import UsageError
from vidfeat.stages.labelled import LabelledCodes, choose_split, split_rows

log = logging.getLogger("vidfeat")

LEAVE_ONE_GROUP_OUT = "leave-one-group-out"


@dataclass(frozen=True)
class Task:
    """Who trains and who is tested: rows of the data, the same for every set of codes."""

    split: str
    train_rows: list[int]
    test_rows: list[int]  # leaving one group out: all, as are the rows of training
    classes: list[str]
    negatives: bool  # whether items without a label belong to no class; else they are refused, or left out
    several_labels: bool  # or none: not every training item has exactly one

    @property
    def leave_one_group_out(self) -> bool:
        return self.split == LEAVE_ONE_GROUP_OUT

    def parts(self, data: LabelledCodes) -> tuple[LabelledCodes, LabelledCodes]:
        """The items of training and of the test."""
        return (data, data) if self.leave_one_group_out else (data.take(self.train_rows), data.take(self.test_rows))

    def targets(self, part: LabelledCodes) -> tuple[np.ndarray, list[str]]:
        """What to learn from training items, and their classes, which in a fold need not be all.

        Class numbers ``[n]``, or the indicator matrix ``[n, classes]`` if the task has items of several labels or none:
        then in every fold, so that all folds have the same measure.
        """
        classes = training_classes(part, self.negatives)
        matrix = indicator(part.labels, classes)
        if not self.several_labels:
            return matrix.argmax(axis=1), classes
        for name, column in zip(classes, matrix.T, strict=True):
            if column.all():
                raise UsageError(
                    f"All {len(column)} training items have the label {name!r}, so nothing tells it from its absence. "
                    "Leave the label out, join it with another (--merge-labels), or choose another split."
                )
        return matrix.astype(int), classes


def make_task(data: LabelledCodes, split: str | None, leave_one_group_out: bool, unlabelled: str) -> Task:
    """The task of a split, or of leaving one group out; UsageError unless it can be trained and judged.

    ``unlabelled``: ``negative``, ``refuse``, or ``auto``, which is ``negative`` if some item has several labels.
    """
    negatives = unlabelled == "negative" or (unlabelled == "auto" and any(len(own) > 1 for own in data.labels))
    if leave_one_group_out:
        if len(set(data.groups)) < 2:
            raise UsageError(
                f"--leave-one-group-out needs two groups or more; all {len(data.ids)} items are in "
                f"{data.groups[0]!r}. Give --manifest with a group column."
            )
        split, train_rows = LEAVE_ONE_GROUP_OUT, list(range(len(data.ids)))
        test_rows = train_rows
    else:
        split = choose_split(data, split)
        train_rows, test_rows = split_rows(data, split)
    train_part, test_part = data.take(train_rows), data.take(test_rows)
    if not leave_one_group_out:
        check_disjoint(train_part.ids, test_part.ids, train_part.groups, test_part.groups)
    classes = training_classes(train_part, negatives)
    _say_negatives(train_part, "training", negatives)
    if not leave_one_group_out:
        test_rows = _judged_rows(data, test_rows, negatives)
        _warn_of_unseen(data.take(test_rows), classes)
    several = any(len(own) != 1 for own in train_part.labels)
    return Task(split, train_rows, test_rows, classes, negatives, several)


def training_classes(data: LabelledCodes, negatives: bool = False) -> list[str]:
    """Sorted classes of the training items; UsageError if there are fewer than two, or an item has no label.

    With ``negatives`` an item without a label belongs to no class.
    """
    unlabelled = [item_id for item_id, own in zip(data.ids, data.labels, strict=True) if not own]
    if unlabelled and not negatives:
        raise UsageError(
            f"{len(unlabelled)} training items have no label (first: {unlabelled[0]!r}); give --manifest with labels, "
            "or --unlabelled negative if they belong to no class."
        )
    classes = class_names(data.labels)
    if len(classes) < 2:
        which = f"the class {classes[0]!r}" if classes else "no label"
        rest = " or no label" if classes and unlabelled else ""
        raise UsageError(f"All training items have {which}{rest}; a classifier needs two classes or more.")
    return classes


def _say_negatives(part: LabelledCodes, name: str, negatives: bool) -> None:
    if negatives and (count := sum(not own for own in part.labels)):
        log.warning(
            "%d of %d %s items have no label and count as negatives of every class.", count, len(part.ids), name
        )


def _judged_rows(data: LabelledCodes, test_rows: Sequence[int], negatives: bool) -> list[int]:
    """The test items that can be judged; says how many have no label, and what becomes of them."""
    rows = [row for row in test_rows if data.labels[row]]
    missing = len(test_rows) - len(rows)
    if not rows:
        raise UsageError(f"None of the {missing} test items has a label; give --manifest with labels.")
    if missing and negatives:
        log.warning(
            "%d of %d test items have no label: they count in average precision, as negatives of every class, and in "
            "no other figure.", missing, len(test_rows),
        )  # fmt: skip
        return list(test_rows)
    if missing:
        log.warning("%d of %d test items have no label and are left out.", missing, len(test_rows))
    return rows


def _warn_of_unseen(test_part: LabelledCodes, classes: list[str]) -> None:
    unseen = sorted(set(class_names(test_part.labels)) - set(classes))
    if unseen:
        log.warning("Test labels that no training item has count as errors: %s.", ", ".join(unseen))
