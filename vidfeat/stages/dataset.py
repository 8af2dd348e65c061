"""``vidfeat dataset``: a manifest from the official lists of a data set."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from vidfeat.datasets.importing import Imported, import_set
from vidfeat.datasets.manifest import write_manifest
from vidfeat.datasets.official import Place
from vidfeat.errors import UsageError
from vidfeat.stages.config.dataset import DatasetConfig
from vidfeat.stages.runs import check_table
from vidfeat.stages.summary import Summary
from vidfeat.store import write_csv

log = logging.getLogger("vidfeat")


def run(config: DatasetConfig) -> Summary:
    """Write OUTPUT, OUTPUT.classes.csv, and OUTPUT.missing.csv if listed items have no file."""
    check_table(config.output)
    if config.output.exists() and not config.overwrite:
        raise UsageError(f"{config.output} exists already. Choose another name, or give --overwrite to replace it.")
    found = import_set(config.name, Place(config.root, config.splits, config.whole_videos))
    _warn(found)
    missing, classes = (config.output.with_name(f"{config.output.name}.{what}.csv") for what in ("missing", "classes"))
    write_csv(classes, ["number", "label"], sorted(found.classes.items()))
    if found.left_out:
        write_csv(missing, ["id", "path", "reason", "listed_in"], found.left_out)
    else:
        # Of an earlier run; it would say that something is missing.
        missing.unlink(missing_ok=True)
    write_manifest(config.output, found.items)
    exit_code = 1 if found.left_out and not config.allow_missing else 0
    return Summary(_facts(config, found, missing, classes), exit_code)


def _warn(found: Imported) -> None:
    there = {split for split, _ in found.listed}
    for (split, part), size in found.sizes.items():
        listed = found.listed.get((split, part), 0)
        if listed != size and split in there:
            log.warning("The lists have %d %s items in %s; the full data set has %d.", listed, part, split, size)
    if found.regrouped:
        log.info(
            "%d groups lie on both sides of an official split; their items are groups of their own.", found.regrouped
        )
    if unlabelled := sum(not item.labels for item in found.items):
        log.info("%d items have no label in the lists.", unlabelled)


def _facts(config: DatasetConfig, found: Imported, missing: Path, classes: Path) -> dict[str, Any]:
    parts = Counter((split, part) for item in found.items for split, part in item.splits.items())
    splits: dict[str, dict[str, dict[str, int]]] = {}
    for split, part in sorted(found.listed):
        counts = {"listed": found.listed[split, part], "items": parts[split, part]}
        splits.setdefault(split, {})[part] = counts
    return {
        "output": str(config.output),
        "name": config.name,
        "listed": len(found.items) + len(found.left_out),
        "items": len(found.items),
        "missing": len(found.left_out),
        "missing_list": str(missing) if found.left_out else None,
        "reasons": dict(Counter(_kind(entry.reason) for entry in found.left_out).most_common()),
        "classes": len(found.classes),
        "classes_list": str(classes),
        "unlabelled": sum(not item.labels for item in found.items),
        "several_labels": sum(len(item.labels) > 1 for item in found.items),
        "segments": sum(item.end is not None for item in found.items),
        "groups": len({item.group for item in found.items}),
        "dissolved_groups": found.regrouped,
        "unlisted_videos": found.unlisted,
        "splits": splits,
    }


def _kind(reason: str) -> str:
    """The sort of a reason, without names and numbers."""
    kinds = {"not found": "not found", "no video": "only pictures", "its segment": "segment impossible"}
    return next(
        (kind for start, kind in kinds.items() if reason.startswith(start)),
        "several files could be it" if "could be it" in reason else "in two parts of a split",
    )
