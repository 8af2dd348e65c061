"""Which items train a video network, which choose its best epoch, and which judge it."""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vidfeat.classify.labels import class_names, indicator
from vidfeat.classify.splits import check_disjoint
from vidfeat.datasets.items import Item
from vidfeat.errors import UsageError
from vidfeat.stages.config.end2end import End2EndTrainConfig

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class Parts:
    """The items of a run, sorted by id in each part.

    Attributes:
        split: name of the column.
        classes: sorted, those of the training items.
        validation: may be empty.
    """

    split: str
    classes: list[str]
    train: list[Item]
    validation: list[Item]
    test: list[Item]

    @property
    def sha256(self) -> str:
        """Of all that the parts say: ids, labels, and who is where."""
        parts = (("train", self.train), ("val", self.validation), ("test", self.test))
        lines = [f"{name} {item.id} {'|'.join(item.labels)}" for name, items in parts for item in items]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()

    def targets(self, items: Sequence[Item], loss: str) -> Tensor:
        """Class numbers ``[n]`` int64 for ``ce``, 0/1 ``[n, K]`` for ``hinge``."""
        if loss == "hinge":
            known = set(self.classes)
            rows = [[name for name in item.labels if name in known] for item in items]
            return torch.from_numpy(indicator(rows, self.classes).astype(np.int64))
        number = {name: place for place, name in enumerate(self.classes)}
        return torch.tensor([number[item.labels[0]] for item in items], dtype=torch.int64)


def parts_of(items: Sequence[Item], config: End2EndTrainConfig) -> Parts:
    """Divide the items as the options say.

    Raises:
        UsageError: no such split, a part without items, items without a label or with several where one is needed, a
            class without training items, fewer than two classes, or parts that share a recording.
    """
    split = _split(items, config.split)
    inside = {name: [item for item in items if item.splits.get(split) == name] for name in ("train", "val", "test")}
    train, test = inside["train"], inside["test"]
    for name, found in (("train", train), ("test", test)):
        if not found:
            raise UsageError(
                f"Split {split!r} has no {name} items among the {len(items)} listed; see its column in the manifest."
            )
    if left_out := len(items) - sum(map(len, inside.values())):
        log.info("%d items are in no part of split %s and are left out.", left_out, split)
    validation = [] if config.validation == "none" else inside["val"]
    if config.validation == "val" and not validation:
        raise UsageError(
            f"--validation val, but split {split!r} calls no item val. Use --val-share 0.2, or --validation none."
        )
    if config.val_share is not None:
        train, validation = _shared_out(train, config.val_share, config.seed)
    if config.patience is not None and not validation:
        raise UsageError(
            f"--patience needs validation, and split {split!r} calls no item val. Give --val-share, such as 0.2."
        )
    parts = Parts(split, class_names([item.labels for item in train]), train, validation, _labelled(test))
    _check_classes(parts, config.loss)
    for others in (validation, test):
        check_disjoint(
            [item.id for item in train], [item.id for item in others], _groups(train), _groups(others)
        )  # fmt: skip
    return parts


def groups_of(items: Sequence[Item]) -> list[str]:
    """The group of each; an item without one is its own."""
    return [item.group or item.id for item in items]


def _groups(items: Sequence[Item]) -> set[str]:
    return set(groups_of(items))


def _split(items: Sequence[Item], wanted: str | None) -> str:
    names = sorted({name for item in items for name in item.splits})
    if not names:
        raise UsageError(
            "The items have no split. Give a manifest with a column split (train, val or test for each item); 'vidfeat "
            "dataset' writes one for known sets."
        )
    if wanted is None and len(names) > 1:
        raise UsageError(f"The items have the splits {', '.join(names)}; choose one with --split.")
    if wanted is not None and wanted not in names:
        raise UsageError(f"The items have no split {wanted!r}; they have {', '.join(names)}.")
    return wanted or names[0]


def _labelled(test: list[Item]) -> list[Item]:
    kept = [item for item in test if item.labels]
    if not kept:
        raise UsageError(f"None of the {len(test)} test items has a label, so nothing can be judged.")
    if len(kept) < len(test):
        log.warning("%d of %d test items have no label and are left out.", len(test) - len(kept), len(test))
    return kept


def _check_classes(parts: Parts, loss: str) -> None:
    for name, items in (("training", parts.train), ("validation", parts.validation)):
        unlabelled = [item.id for item in items if not item.labels]
        if unlabelled:
            raise UsageError(
                f"{len(unlabelled)} {name} items have no label (first: {unlabelled[0]!r}); give them one in the "
                "manifest."
            )
    if len(parts.classes) < 2:
        raise UsageError(
            f"All training items have the class {parts.classes[0]!r}; a classifier needs two classes or more."
        )
    for name, items in (("validation", parts.validation), ("test", parts.test)):
        unseen = sorted({label for item in items for label in item.labels} - set(parts.classes))
        if unseen:
            raise UsageError(
                f"No training item of split {parts.split!r} has the class {unseen[0]!r}, which {name} items have "
                f"({len(unseen)} such: {', '.join(unseen[:5])}). Correct the split, or leave those items out of it."
            )
    several = [item.id for item in (*parts.train, *parts.validation) if len(item.labels) > 1]
    if several and loss == "ce":
        raise UsageError(
            f"{len(several)} items have several labels (first: {several[0]!r}), and --loss ce takes one for each. Use "
            "--loss hinge."
        )


def _shared_out(train: list[Item], share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Whole groups, drawn by the seed, for validation: about ``share`` of the items, as long as no class runs out."""
    groups = sorted(_groups(train))
    digest = hashlib.sha256(f"vidfeat-validation-1:{seed}".encode()).digest()
    order = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little"))).permutation(len(groups))
    left = Counter(label for item in train for label in item.labels)
    taken: set[str] = set()
    count = 0
    for number in order:
        members = [item for item in train if (item.group or item.id) == groups[number]]
        own = Counter(label for item in members for label in item.labels)
        if count + len(members) <= round(share * len(train)) and all(left[name] > n for name, n in own.items()):
            taken.add(groups[number])
            left -= own
            count += len(members)
    if not taken:
        raise UsageError(
            f"--val-share {share:g} of {len(train)} training items in {len(groups)} groups leaves no whole group to "
            "take without a class losing all its training items. Raise it, or name validation items in the manifest."
        )
    rest = [item for item in train if (item.group or item.id) not in taken]
    return rest, [item for item in train if (item.group or item.id) in taken]
