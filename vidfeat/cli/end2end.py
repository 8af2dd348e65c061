"""Commands that train networks on whole videos: end2end train, predict, eval."""

from typing import Any

import typer

from vidfeat.cli.command import add_command
from vidfeat.cli.console import failures_text, table
from vidfeat.cli.pipeline import render_eval
from vidfeat.stages.config.end2end import End2EndEvalConfig, End2EndPredictConfig, End2EndTrainConfig
from vidfeat.words import counted

_TRAIN = (
    "Train a network of frames, the pooling of its vectors over time and the classifier together, on whole videos of "
    "any length.\n\n"
    "Frames are decoded once, into a cache. Memory does not grow with the length of a video: its frames pass the "
    "network in chunks, twice. Give the same command again after a crash or Ctrl-C: it goes on and ends in the same "
    "network. Exit code 1: some videos failed and were left out, RUN.failures.csv says why. Exit code 3: the loss "
    "became NaN; RUN has the state before.\n\n"
    "RUN/best.safetensors is the best epoch; 'vidfeat extract --weights' takes it too. Several GPUs: torchrun "
    "--nproc-per-node 4 -m vidfeat.cli.main end2end train ….\n\n"
    "Example:  vidfeat end2end train set.csv -o RUN --backbone alexnet --pool rankpool"
)
_PREDICT = (
    "From new videos to labels, with the best epoch of a run. Decoding is as in training, without augmentation.\n\n"
    "Example:  vidfeat end2end predict RUN new.mp4"
)
_EVAL = (
    "Print the figures of a run with 95 % intervals (whole groups resampled); of several runs, one row each.\n\n"
    "Example:  vidfeat end2end eval RUN"
)


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        name="end2end", no_args_is_help=True, help="Train networks on whole videos, through the pooling."
    )
    add_command(
        group, "train", End2EndTrainConfig, "end2end:train", render=_render_train, help=_TRAIN, group="end2end",
        resumable=True,
    )  # fmt: skip
    add_command(
        group, "predict", End2EndPredictConfig, "end2end_predict:predict", render=_render_predict, help=_PREDICT,
        group="end2end",
    )  # fmt: skip
    add_command(
        group, "eval", End2EndEvalConfig, "end2end_eval:evaluate", render=render_eval, help=_EVAL, group="end2end"
    )
    app.add_typer(group)


def _render_train(facts: dict[str, Any]) -> str:
    if "accuracy" not in facts:
        return ""
    chosen = "" if facts["validation"] is None else f" (validation {facts['validation']:.3f})"
    text = (
        f"{facts['output']}: {counted(facts['epochs'], 'epoch')}, the best is number "
        f"{facts['best_epoch'] + 1}{chosen}; {counted(facts['n_train'], 'training item')}, "
        f"{counted(facts['n_test'], 'test item')}, split {facts['split']}\n"
    )
    names = {"accuracy": "accuracy", "mean_per_class_accuracy": "mean per class accuracy", "map": "map"}
    text += table([[words, facts[name]] for name, words in names.items()], ["figure", "value"])
    return text + failures_text(facts, "result")


def _render_predict(facts: dict[str, Any]) -> str:
    rows = [
        [item["id"], item["predicted"], ", ".join(f"{name} {score:.3f}" for name, score in item["scores"].items())]
        for item in facts["predictions"]
    ]
    text = table(rows, ["id", "predicted", "scores"]) if rows else "No item could be predicted."
    return text + "".join(f"\n{failure['id']} {failure['state']}: {failure['reason']}" for failure in facts["failures"])
