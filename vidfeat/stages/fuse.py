"""``vidfeat fuse``: one run from the class scores of several."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.classify import fusion
from vidfeat.classify.splits import check_disjoint
from vidfeat.errors import UsageError
from vidfeat.progress import Progress
from vidfeat.stages import runs, scores, svm
from vidfeat.stages.config.fusion import FuseConfig
from vidfeat.stages.config.options import as_json
from vidfeat.stages.sensitivity import names_of
from vidfeat.stages.task import LEAVE_ONE_GROUP_OUT
from vidfeat.stages.tested import TestedRun, check_different, in_order_of, read_tested, same_training

log = logging.getLogger("vidfeat")

FORMAT = "vidfeat-fusion"
VERSION = 1


@dataclass(frozen=True)
class FuseSummary:
    """The content of results.json, and the figures of the runs that were fused."""

    results: dict[str, Any]
    runs: list[dict[str, Any]]
    output: Path
    exit_code: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {**self.results, "runs": self.runs, "output": str(self.output)}


def run(config: FuseConfig) -> FuseSummary:
    """Normalise, weigh, add, judge, and write RUN."""
    _check_output(config)
    tested = read_alike(config.runs)
    facts: dict[str, Any] = {"runs": [str(folder) for folder in config.runs], "normalize": config.normalize}
    if config.numbers is not None:
        weights = fusion.check_weights(config.numbers, len(tested))
        fused = fusion.fuse_scores([one.scores for one in tested], weights, config.normalize)
        facts["weights"] = weights.tolist()
    else:
        fused, facts = _chosen(tested, config, facts)
    first = tested[0]
    figures = scores.figures(first.labels, fused, first.classes)
    shared = {name: first.results.get(name) for name in ("split", "n_train", "n_test")}
    shared |= svm.unlabelled_count(first.labels)
    sha = first.results.get("train_ids_sha256")
    results = {**shared, **figures, "fusion": facts, "config": as_json(config), "train_ids_sha256": sha}
    meta = {
        "format": FORMAT, "version": VERSION, "classes": first.classes, **facts, "split": first.split,
        "train_ids": first.meta.get("train_ids"), "train_ids_sha256": sha, "test_groups": first.groups,
        "fingerprints": [fingerprint_of(folder) for folder in config.runs],
    }  # fmt: skip
    predictions = (first.ids, ["test"] * len(first.ids), first.labels, fused, first.classes)
    with runs.writing_run(config.output, meta, results, predictions):
        pass  # it has no model of its own
    rows = []
    for name, one, weight in zip(names_of(config.runs), tested, facts["weights"], strict=True):
        own = one.figures()
        rows.append({"run": name, "weight": weight, **{key: own[key] for key in _SHOWN}})
    return FuseSummary(results, rows, config.output)


def fingerprint_of(folder: Path) -> str | None:
    """SHA-256 of what a run predicted, which is what is fused; None if that is gone."""
    path = folder / "predictions.csv"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


_SHOWN = ("accuracy", "mean_per_class_accuracy", "map")


def read_alike(folders: list[Path]) -> list[TestedRun]:
    """Runs of the same items, labels, classes and training part, in one order; UsageError naming what differs first."""
    check_different(folders)
    first, *others = [read_tested(folder) for folder in folders]
    ordered = [first, *(in_order_of(first, other) for other in others)]
    for other in ordered[1:]:
        found = same_training(first, other)
        if found and first.split == other.split and _one_in_the_other(first, other):
            log.warning("The runs %s: one held items back.", found)
        elif found:
            raise UsageError(f"The runs {found}. Fuse runs of one split: train them again with the same --split.")
    return ordered


def _one_in_the_other(first: TestedRun, other: TestedRun) -> bool:
    """Whether all items that one was trained on are among those of the other, as when it held some back to validate."""
    a, b = (set(run.meta.get("train_ids") or ()) for run in (first, other))
    return bool(a and b) and (a <= b or b <= a)


def _check_output(config: FuseConfig) -> None:
    runs.check_free(config.output, config.overwrite)
    trained = config.output / "model.json"
    if trained.exists() and runs.read_json(config.output, "model.json").get("format") != FORMAT:
        raise UsageError(f"{config.output} is a run, but none of vidfeat fuse, so --overwrite leaves it alone.")
    for folder in (*config.runs, *config.validation):
        if folder.resolve() == config.output.resolve():
            raise UsageError(f"The output {config.output} is one of the runs to fuse. Choose another folder.")


def _chosen(tested: list[TestedRun], config: FuseConfig, facts: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """Fused scores with weights that were chosen without the items they are for, and what was chosen."""
    first = tested[0]
    if first.split == LEAVE_ONE_GROUP_OUT:
        if config.validation:
            raise UsageError("--validation is for runs with a split; these left one group out and need none.")
        chosen = _choose(tested, config.normalize, first.groups)
        own = chosen.group_weights[np.searchsorted(chosen.groups, first.groups)]
        normalised = [fusion.normalise_scores(one.scores, config.normalize) for one in tested]
        fused = np.empty(normalised[0].shape)
        for weights in np.unique(own, axis=0):
            rows = (own == weights).all(axis=1)
            fused[rows] = fusion.fuse_scores([one[rows] for one in normalised], weights, "none")
        by_group = dict(zip(chosen.groups, chosen.group_weights.tolist(), strict=True))
    else:
        chosen, by_group = _choose(_validation(tested, config), config.normalize, ()), None
        fused = fusion.fuse_scores([one.scores for one in tested], chosen.weights, config.normalize)
    chosen_by = {"measure": chosen.measure, "score": chosen.score}
    facts = {**facts, "weights": chosen.weights.tolist(), "chosen_by": chosen_by}
    if by_group is not None:
        facts["weights_of_groups"] = by_group
    else:
        facts["validation"] = [str(folder) for folder in config.validation]
    return fused, facts


def _choose(tested: list[TestedRun], normalize: str, groups: list[str] | tuple) -> fusion.ChosenWeights:
    with Progress(len(fusion.weight_grid(len(tested))), unit="weightings") as progress:
        return fusion.choose_weights(
            [one.scores for one in tested], tested[0].outcome().relevant, groups, normalize,
            lambda n: progress.item_done("done"),
        )  # fmt: skip


def _validation(tested: list[TestedRun], config: FuseConfig) -> list[TestedRun]:
    """The runs that predicted the training items, each without the group of the item; UsageError if they did not."""
    first = tested[0]
    if not config.validation:
        raise UsageError(
            f"--weights auto needs scores of training items by models that did not train on them; these runs of "
            f"{first.split!r} have scores of test items alone, and weights chosen on those would spoil the test. "
            "Train each method once more on the training items, 'vidfeat svm train CODES --leave-one-group-out "
            "--manifest TRAINING.csv -o CV', and give --validation CV for each RUN; or give --weights numbers."
        )
    found = read_alike(list(config.validation))
    if found[0].split != LEAVE_ONE_GROUP_OUT:
        raise UsageError(
            f"{found[0].folder} was trained with the split {found[0].split!r}; --validation takes runs with "
            "--leave-one-group-out on the training items."
        )
    check_disjoint(found[0].ids, first.ids, found[0].groups, first.groups)
    if found[0].classes != first.classes:
        raise UsageError(
            f"{found[0].folder} has the classes {', '.join(found[0].classes)}; {first.folder} has "
            f"{', '.join(first.classes)}. They must be the same, in one order."
        )
    return found
