"""``vidfeat mkl train|predict|eval``: multiple-kernel learning over the nodes of temporal pyramids."""

import hashlib
from typing import Any

import numpy as np

from vidfeat.metrics import MEASURES
from vidfeat.progress import Progress
from vidfeat.stages import mkl_runs, runs, scores, svm
from vidfeat.stages.config.mkl import MklEvalConfig, MklTrainConfig
from vidfeat.stages.config.options import as_json
from vidfeat.stages.labelled import LabelledCodes, merge_labels
from vidfeat.stages.mkl_fits import COLUMNS, Cell, Fitted, fit, held_out_scores
from vidfeat.stages.mkl_streams import Stream, read_streams
from vidfeat.stages.summary import Summary
from vidfeat.stages.task import Task, make_task
from vidfeat.stages.trained import predict

__all__ = ["evaluate", "predict", "train"]

JOINT = "all together"  # in the table by level


def train(config: MklTrainConfig) -> svm.ScoresSummary:
    """Learn the weights on the training part (or leaving one group out), predict the test part, and write RUN."""
    runs.check_free(config.output, config.overwrite)
    items, streams = read_streams(config.codes, config.set, config.manifest, config.levels)
    items, renamed = merge_labels(items, config.merge_labels)
    task = make_task(items, config.split, config.leave_one_group_out, config.unlabelled)
    cell = Cell(config.method, config.combination, None)
    levels = _levels(streams) if config.by_level else []
    groups = sorted(set(items.groups)) if task.leave_one_group_out else [""]
    rows = [(level, *part) for level in levels for part in _parts(streams)]
    with Progress((1 + len(rows) * len(COLUMNS)) * len(groups), unit="fits") as progress:
        test_scores, fitted = _tested(items, streams, task, config, cell, progress)
        by_level = [_level_row(level, name, part, items, task, config, progress) for level, name, part in rows]
    if fitted is None:
        fitted = fit(items, streams, task.train_rows, task, config, cell)
    train_part, test_part = items.take(task.train_rows), items.take(task.test_rows)
    meta = _meta(fitted, train_part, test_part, task, streams, config, renamed)
    results = {
        "split": task.split,
        "n_train": len(train_part.ids),
        "n_test": len(test_part.ids),
        **svm.unlabelled_count(test_part.labels),
        **scores.figures(test_part.labels, test_scores, task.classes),
        **{name: meta[name] for name in ("set", "C", "cross_validation", "weights")},
        **({"by_level": by_level} if by_level else {}),
        "config": as_json(config),
        "train_ids_sha256": meta["train_ids_sha256"],
    }
    predictions = (test_part.ids, ["test"] * len(test_part.ids), test_part.labels, test_scores, task.classes)
    mkl_runs.write_run(config.output, fitted.model, streams, task.train_rows, meta, results, predictions)
    return svm.ScoresSummary(results)


def evaluate(config: MklEvalConfig) -> svm.ScoresSummary | Summary:
    """Figures of one run, or of several side by side, with intervals."""
    return svm.evaluate(config)


def _tested(
    items: LabelledCodes, streams: list[Stream], task: Task, config: MklTrainConfig, cell: Cell, progress: Progress
) -> tuple[np.ndarray, Fitted | None]:
    """Scores of the test items ``[test items, classes]``, and the model of a split."""
    if task.leave_one_group_out:
        return held_out_scores(items, streams, task, config, cell, progress), None
    fitted = fit(items, streams, task.train_rows, task, config, cell)
    progress.item_done("done")
    return fitted.scores(streams, task.test_rows), fitted


def _levels(streams: list[Stream]) -> list[int]:
    most = min(len(mkl_runs.by_levels(np.zeros(len(stream.blocks)))) for stream in streams)
    return list(range(1, most + 1))


def _parts(streams: list[Stream]) -> list[tuple[str, list[Stream]]]:
    """What the table by level is of: every stream by itself, and with several, all of them together."""
    alone = [(stream.name, [stream]) for stream in streams]
    return alone if len(streams) == 1 else [*alone, (JOINT, streams)]


def _level_row(
    level: int,
    name: str,
    streams: list[Stream],
    items: LabelledCodes,
    task: Task,
    config: MklTrainConfig,
    progress: Progress,
) -> dict[str, Any]:
    """Accuracies of pyramids of that many levels, by combination and method, with 95 % intervals."""
    row: dict[str, Any] = {"levels": level, "nodes": len(streams) * (2**level - 1), "stream": name}
    test_part = items.take(task.test_rows)
    for combination, method in COLUMNS:
        found, _ = _tested(items, streams, task, config, Cell(method, combination, level), progress)
        figures = scores.figures(test_part.labels, found, task.classes)
        intervals = scores.intervals(scores.judge(test_part.labels, found, task.classes), test_part.groups)
        row[f"{combination} {method}"] = {name: figures[name] for name in MEASURES} | {"intervals": intervals}
    return row


def _meta(
    fitted: Fitted,
    train_part: LabelledCodes,
    test_part: LabelledCodes,
    task: Task,
    streams: list[Stream],
    config: MklTrainConfig,
    renamed: dict[str, str],
) -> dict[str, Any]:
    model = fitted.model
    return {
        "format": mkl_runs.FORMAT,
        "version": mkl_runs.VERSION,
        "classes": task.classes,
        "kernel": model.kernel,
        "gamma": model.gamma_,
        "scales": model.scales_.tolist(),
        "centre": model.centre,
        "C": model.C,
        "cross_validation": fitted.validation,
        "weights": fitted.facts(),
        "set": "+".join(dict.fromkeys(stream.set for stream in streams)),
        "streams": [
            {
                "name": stream.name,
                "set": stream.set,
                "dimension": stream.dimension,
                "blocks": [list(block) for block in stream.blocks],
                "provenance": stream.provenance,
            }
            for stream in streams
        ],
        "split": task.split,
        "train_ids": train_part.ids,
        "train_ids_sha256": hashlib.sha256("\n".join(train_part.ids).encode()).hexdigest(),
        "test_groups": test_part.groups,
        "merge_labels": renamed,
    }
