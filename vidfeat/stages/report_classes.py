"""``vidfeat report confusion`` and ``report per-class``: what a run makes of each class."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from vidfeat import metrics
from vidfeat.errors import UsageError
from vidfeat.report.confusion import confusion_figure, short_name
from vidfeat.report.scores import ClassScores, classes_figure, difference_figure
from vidfeat.stages import compare, runs
from vidfeat.stages.config.scores import ConfusionConfig, PerClassConfig
from vidfeat.stages.sensitivity import names_of
from vidfeat.stages.summary import Summary
from vidfeat.stages.tested import TestedRun, in_order_of, read_tested
from vidfeat.store import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

_RESAMPLES = 2000  # for the intervals of differences, as 'vidfeat svm eval' has


def confusion(config: ConfusionConfig) -> Summary:
    """Write the picture; the summary has the pairs that are taken for each other most often."""
    _check_picture(config.output)
    tested = read_tested(config.run)
    found = tested.figures()
    counts = np.array(found["confusion"])
    heading = f"{short_name(names_of([config.run])[0], 40)}\naccuracy {100 * found['accuracy']:.1f} %, mean per class "
    heading += f"{100 * found['mean_per_class_accuracy']:.1f} %"
    _save(confusion_figure(counts, tested.classes, heading), config.output)
    wrong = counts - np.diag(np.diag(counts))
    most = np.argsort(-wrong, axis=None, kind="stable")[:10]
    pairs = [
        {
            "true": tested.classes[row],
            "predicted": tested.classes[column],
            "items": int(wrong[row, column]),
            "share": float(wrong[row, column] / counts[row].sum()),
        }
        for row, column in zip(*np.unravel_index(most, wrong.shape), strict=True)
        if wrong[row, column]
    ]
    return Summary({"output": str(config.output), "items": len(tested.ids), "mistakes": pairs})


def per_class(config: PerClassConfig) -> Summary:
    """Write the picture of one run, or of the difference of two; the summary has the numbers of every class."""
    _check_picture(config.output)
    tested = [read_tested(folder) for folder in config.runs]
    names = names_of(config.runs)
    if len(tested) == 1:
        table = class_table(tested[0])
        drawn = _class_scores(table, config.measure)
        _save(classes_figure(drawn, config.measure, short_name(names[0], 60)), config.output)
        return Summary({"output": str(config.output), "run": names[0], "classes": table})
    pair = (tested[0], in_order_of(tested[0], tested[1]))
    tables = [class_table(one) for one in pair]
    n_resamples = _RESAMPLES if len(set(pair[0].groups)) > 1 else 0
    found = compare.compared([pair], n_resamples, 0)["per_class"]
    intervals = [found[name][config.measure].get("interval95") or (np.nan, np.nan) for name in pair[0].classes]
    drawn = [_class_scores(table, config.measure) for table in tables]
    figure = difference_figure(*drawn, tuple(names), np.array(intervals, dtype=float), config.measure)
    _save(figure, config.output)
    return Summary({"output": str(config.output), "runs": names, "measure": config.measure, "differences": found})


def class_table(run: TestedRun) -> dict[str, dict[str, Any]]:
    """Class -> number of items, accuracy (recall), precision, F1, and average precision; None where there is none.

    Precision and F1 are those of the confusion matrix, which has no items of classes that training did not have.
    """
    found = run.figures()
    counts = np.array(found["confusion"])
    true, predicted = np.nonzero(counts)
    times = counts[true, predicted]
    figures = metrics.per_class(np.repeat(true, times), np.repeat(predicted, times), len(run.classes))
    table = {}
    for column, name in enumerate(run.classes):
        own = found["per_class"][name]
        _, precision, f1 = (None if np.isnan(of_all[column]) else float(of_all[column]) for of_all in figures)
        table[name] = {"n": own["n"], "accuracy": own["accuracy"], "precision": precision, "f1": f1, "ap": own["ap"]}
    return table


def _class_scores(table: dict[str, dict[str, Any]], measure: str) -> ClassScores:
    values = [np.nan if row[measure] is None else row[measure] for row in table.values()]
    return ClassScores(list(table), np.array([row["n"] for row in table.values()]), np.array(values))


def _check_picture(output: "Path") -> None:
    runs.check_place(output)
    if output.is_dir():
        raise UsageError(f"The output {output} is a folder; give the name of a picture, such as confusion.png.")


def _save(figure: "Figure", output: "Path") -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format=output.suffix.lower()[1:], bbox_inches="tight")
    write_bytes(output, picture.getvalue())
