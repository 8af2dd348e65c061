"""The commands of multiple-kernel learning: mkl train, predict, eval."""

from typing import Any

import typer

from vidfeat.cli.command import add_command
from vidfeat.cli.console import table
from vidfeat.cli.pipeline import render_eval, render_scores
from vidfeat.stages.config.mkl import MklEvalConfig, MklPredictConfig, MklTrainConfig
from vidfeat.words import counted

_TRAIN = (
    "Learn how much every node of temporal pyramids counts, together with one-vs-rest SVMs, and test on the split.\n\n"
    "Several codes files are several streams, such as appearance and motion. RUN/beta.json has the weights, "
    "RUN/beta.png shows them as trees: a row for each level, a cell for each node. A learnt weighting by concatenation "
    "carries its certificate, the relative duality gap; averaging has local minima, and says how stationary its one "
    "is.\n\n"
    "Example:  vidfeat mkl train rgb.h5 flow.h5 --split split1 --by-level -o RUN"
)
_PREDICT = "Score other codes with a trained model.\n\nExample:  vidfeat mkl predict RUN more.h5 -o predictions.csv"
_HEAD = ("levels", "nodes", "stream")
_EVAL = (
    "Print the figures of a run with 95 % intervals (whole groups resampled); of several runs, one row each.\n\n"
    "Example:  vidfeat mkl eval RUN"
)


def register(app: typer.Typer) -> None:
    mkl = typer.Typer(name="mkl", no_args_is_help=True, help="Learn weights of pyramid nodes (multiple kernels).")
    add_command(mkl, "train", MklTrainConfig, "mkl:train", render=_render_train, help=_TRAIN, group="mkl")
    add_command(mkl, "predict", MklPredictConfig, "mkl:predict", render=_render_predict, help=_PREDICT, group="mkl")
    add_command(mkl, "eval", MklEvalConfig, "mkl:evaluate", render=_render_eval, help=_EVAL, group="mkl")
    app.add_typer(mkl)


def _render_train(facts: dict[str, Any]) -> str:
    text = render_scores(facts) + "\n" + _weights_text(facts)
    if "by_level" not in facts:
        return text
    columns = [name for name in facts["by_level"][0] if name not in _HEAD]
    rows = [
        [*(row[name] for name in _HEAD), *(f"{100 * row[name]['accuracy']:.2f}" for name in columns)]
        for row in facts["by_level"]
    ]
    return text + "\n\nAccuracy (%) of pyramids by their levels:\n" + table(rows, [*_HEAD, *columns])


def _weights_text(facts: dict[str, Any]) -> str:
    known = facts["weights"]
    text = f"Weights: {known['method']}, {known['combination']}"
    if "level" in known:
        text += f", level {known['level']}"
    if "duality_gap" in known:
        text += f"; relative duality gap {known['duality_gap']:.2g}"
    if "stationarity" in known:
        text += f"; stationarity {known['stationarity']:.2g}"
    return f"{text}; {counted(known['steps'], 'step')}, {counted(known['machines_trained'], 'machine')} trained."


def _render_predict(facts: dict[str, Any]) -> str:
    return f"{facts['output']}: predictions of {counted(facts['items'], 'item')}."


def _render_eval(facts: dict[str, Any]) -> str:
    return render_eval(facts) + ("\n" + _weights_text(facts) if "weights" in facts else "")
