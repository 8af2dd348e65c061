"""Codes with the labels, groups and split that a classifier is trained and tested on."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.stages.relabel import Annotation, Relabelling, join_labels
from vidfeat.store import CodesFile, open_codes

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class LabelledCodes:
    """Rows of one code set; all sequences have one entry per item, sorted by id. An item without a group is its own.

    ``order_error`` is the temporal order error of each code where the file has it, NaN for items of one frame. ``more``
    are the codes of further files, see :func:`vidfeat.stages.several.beside`; ``sources`` says of every file its path,
    set and provenance.
    """

    ids: list[str]
    codes: np.ndarray
    labels: list[tuple[str, ...]]
    groups: list[str]
    splits: dict[str, list[str]]
    provenance: dict[str, Any]
    order_error: np.ndarray | None = None
    more: tuple[np.ndarray, ...] = ()
    sources: tuple[dict[str, Any], ...] = ()

    @property
    def arrays(self) -> list[np.ndarray]:
        """Codes ``[N, D]`` of every file."""
        return [self.codes, *self.more]

    def take(self, rows: Sequence[int]) -> "LabelledCodes":
        """The items at ``rows``."""
        return LabelledCodes(
            [self.ids[i] for i in rows],
            self.codes[list(rows)],
            [self.labels[i] for i in rows],
            [self.groups[i] for i in rows],
            {name: [values[i] for i in rows] for name, values in self.splits.items()},
            self.provenance,
            None if self.order_error is None else self.order_error[list(rows)],
            tuple(codes[list(rows)] for codes in self.more),
            self.sources,
        )


def read_labelled(path: Path, set_name: str, manifest: Path | None) -> LabelledCodes:
    """Read one set of a codes file; a manifest replaces labels, groups and splits."""
    with open_codes(path) as stored:
        data = read_codes(stored, set_name)
    if manifest is not None:
        return relabelled(data, manifest)
    return replace(data, groups=[group or item_id for group, item_id in zip(data.groups, data.ids, strict=True)])


def with_set(data: LabelledCodes, path: Path, set_name: str) -> LabelledCodes:
    """The same items with the codes of another set of their file."""
    with open_codes(path) as stored:
        other = read_codes(stored, set_name)
    row_of = {item_id: row for row, item_id in enumerate(other.ids)}
    other = other.take([row_of[item_id] for item_id in data.ids])
    return replace(data, codes=other.codes, order_error=other.order_error, sources=other.sources)


def merge_labels(data: LabelledCodes, rules: str | None) -> tuple[LabelledCodes, dict[str, str]]:
    """Join classes as ``--merge-labels`` says; also gives what became of each joined label."""
    if rules is None:
        return data, {}
    renamed = parse_merge_labels(rules, {label for labels in data.labels for label in labels})
    return replace(data, labels=[join_labels(labels, renamed) for labels in data.labels]), renamed


def read_codes(stored: CodesFile, set_name: str) -> LabelledCodes:
    """All items of a file with the codes of one set; UsageError naming the first with NaN or infinite values."""
    codes = stored.codes(set_name)
    if not np.isfinite(codes).all():
        bad = stored.ids[int(np.flatnonzero(~np.isfinite(codes).all(axis=1))[0])]
        raise UsageError(f"{stored.path}: the code of {bad!r} has NaN or infinite values. Encode it again.")
    return LabelledCodes(
        list(stored.ids), codes, [tuple(labels) for labels in stored.labels], list(stored.groups), dict(stored.splits),
        stored.provenance, stored.order_error(set_name),
        sources=({"path": str(stored.path), "set": set_name, "provenance": stored.provenance},),
    )  # fmt: skip


def relabelled(data: LabelledCodes, manifest: Path) -> LabelledCodes:
    """The items that the manifest lists, with its labels, groups and splits."""
    relabel = Relabelling(manifest, data.ids)
    listed = set(relabel.ids)
    data = data.take([row for row, item_id in enumerate(data.ids) if item_id in listed])
    known = [
        relabel(item_id, Annotation(data.labels[i], data.groups[i], {name: c[i] for name, c in data.splits.items()}))
        for i, item_id in enumerate(data.ids)
    ]
    columns = sorted({name for annotation in known for name in annotation.splits})
    splits = {name: [annotation.splits.get(name, "") for annotation in known] for name in columns}
    groups = [a.group or item_id for a, item_id in zip(known, data.ids, strict=True)]
    return replace(data, labels=[a.labels for a in known], groups=groups, splits=splits)


def parse_merge_labels(text: str, known: set[str]) -> dict[str, str]:
    """``"down=sitdown,falling;up=standup"`` -> {"sitdown": "down", …}. UsageError for a label that does not occur."""
    renamed: dict[str, str] = {}
    for rule in text.split(";"):
        new, equals, old = rule.partition("=")
        names = [name.strip() for name in old.split(",") if name.strip()]
        if not equals or not new.strip() or not names:
            raise UsageError(f"--merge-labels {rule!r} is not of the form NEW=A,B (several joined by ';').")
        for name in names:
            if name not in known:
                raise UsageError(
                    f"--merge-labels: no item has the label {name!r}; labels are {', '.join(sorted(known))}."
                )
            renamed[name] = new.strip()
    return renamed


def choose_split(data: LabelledCodes, wanted: str | None) -> str:
    """The named split column, or the only one there is."""
    names = sorted(data.splits)
    if wanted is None and len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(
            "The codes have no split. Give --manifest with a split column (train/test), or --leave-one-group-out."
        )
    if wanted is None:
        raise UsageError(f"The codes have the splits {', '.join(names)}; choose one with --split.")
    if wanted not in names:
        raise UsageError(f"The codes have no split {wanted!r}; they have {', '.join(names)}.")
    return wanted


def split_rows(data: LabelledCodes, split: str) -> tuple[list[int], list[int]]:
    """Rows of the training and the test part; both must exist."""
    parts: Mapping[str, list[int]] = {"train": [], "test": []}
    others = 0
    for row, part in enumerate(data.splits[split]):
        if part in parts:
            parts[part].append(row)
        else:
            others += 1
    for name, rows in parts.items():
        if not rows:
            raise UsageError(
                f"Split {split!r} has no {name} items among the {len(data.ids)} codes; see its column in the manifest."
            )
    if others:
        log.info("%d items are in neither part of split %s and are left out.", others, split)
    return parts["train"], parts["test"]
