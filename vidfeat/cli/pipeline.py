"""Commands of the main job: extract, flow, encode, svm, predict, demo."""

from pathlib import Path
from typing import Any

import typer

from vidfeat.cli.command import add_command
from vidfeat.cli.console import failures_text, outcome_text, rows_text, table
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.config.files import DemoConfig, PredictConfig
from vidfeat.stages.config.flow import FlowConfig
from vidfeat.stages.config.svm import SvmEvalConfig, SvmPredictConfig, SvmTrainConfig
from vidfeat.words import counted


def register(app: typer.Typer) -> None:
    add_command(app, "extract", ExtractConfig, "extract", render=_render_extract, help=_EXTRACT, resumable=True)
    add_command(app, "flow", FlowConfig, "flow", render=_render_flow, help=_FLOW, resumable=True)
    add_command(app, "encode", EncodeConfig, "encode", render=_render_encode, help=_ENCODE)
    svm = typer.Typer(name="svm", no_args_is_help=True, help="Train and judge SVMs (LIBSVM) on codes.")
    add_command(svm, "train", SvmTrainConfig, "svm:train", render=render_scores, help=_SVM_TRAIN, group="svm")
    add_command(
        svm, "predict", SvmPredictConfig, "svm:predict", render=_render_svm_predict, help=_SVM_PREDICT, group="svm"
    )
    add_command(svm, "eval", SvmEvalConfig, "svm:evaluate", render=render_eval, help=_SVM_EVAL, group="svm")
    app.add_typer(svm)
    add_command(app, "predict", PredictConfig, "predict", render=_render_predict, help=_PREDICT)
    add_command(app, "demo", DemoConfig, "demo", render=_render_demo, help=_DEMO, resumable=True)


_EXTRACT = (
    "Write per-frame CNN activations of videos and images into one HDF5 file.\n\n"
    "Run it again after a crash or Ctrl-C: finished items are skipped. Exit code 1 means that some items failed; "
    "OUTPUT.failures.csv says why, the others are kept.\n\n"
    "With --stream flow or rgb,flow a second network sees the optical flow, found as 'vidfeat flow' does; its layers "
    "are stored as flow.LAYER.\n\n"
    "Example:  vidfeat extract videos/ -o feats.h5 --backbone resnet50 --layers avgpool --fps 8"
)
_FLOW = (
    "Write the optical flow of videos, from each sampled frame to the next, into one HDF5 file.\n\n"
    "T frames give T-1 fields, stored as flow [T-1, 2, H, W]: x before y, 8 bits within the bound. "
    "'vidfeat export' turns them into flow_x_00000.jpg and its like, or .flo; 'vidfeat report flow' shows them.\n\n"
    "Run it again after a crash or Ctrl-C: finished items are skipped. Exit code 1 means that some items failed; "
    "OUTPUT.failures.csv says why (a single frame has no flow: empty), the others are kept.\n\n"
    "Example:  vidfeat flow videos/ -o flow.h5 --fps 12.5 --size 256"
)
_ENCODE = (
    "Turn every item into one vector: pool its frames over time, or describe its local features (positions of conv "
    "maps) by a codebook of 'vidfeat codebook train'.\n\n"
    "Example:  vidfeat encode feats.h5 --method rankpool --direction both -o codes.h5  or  vidfeat encode maps.h5 "
    "--method vlad --codebook book.h5 -o codes.h5"
)
_SVM_TRAIN = (
    "Train SVMs, linear by default, choose C by group-aware cross-validation, test on the split.\n\n"
    "If the file has several sets of codes (rank pooling with several values of C), that cross-validation also chooses "
    "the set, on training items alone. RUN/sensitivity.json then has the test accuracy of every set: it is for "
    "looking (vidfeat report sensitivity), not for choosing.\n\n"
    "Of several CODES with the same items, each kernel is divided by its variance over the training items, and they "
    "are added.\n\n"
    "Example:  vidfeat svm train codes.h5 --split split1 -o RUN  or  vidfeat svm train rgb.h5 flow.h5 --kernel chi2 "
    "--gamma auto -o RUN"
)
_SVM_PREDICT = "Score other codes with a trained model.\n\nExample:  vidfeat svm predict RUN more.h5 -o predictions.csv"
_PREDICT = (
    "From new videos, or features of them, to labels: extraction, encoding and model are those of the run, which "
    "'vidfeat svm train' or 'vidfeat mkl train' wrote.\n\n"
    "Example:  vidfeat predict RUN new.mp4  or  vidfeat predict RUN more-feats.h5 -o predictions.csv"
)
_DEMO = (
    "Make a small labelled set of videos and run the whole path on it (under two minutes, no network needed).\n\n"
    "Example:  vidfeat demo"
)
_SVM_EVAL = (
    "Print the figures of a run with 95 % intervals (whole groups resampled); of several runs, one row each.\n\n"
    "Example:  vidfeat svm eval RUN"
)


def _render_extract(facts: dict[str, Any]) -> str:
    return _render_job(facts, "extract", "frame", "features")


def _render_flow(facts: dict[str, Any]) -> str:
    return _render_job(facts, "compute the flow of", "field", "flow")


def _render_job(facts: dict[str, Any], verb: str, row: str, result: str) -> str:
    if "bytes" in facts:
        return (
            f"Would {verb} {counted(facts['items'], 'item')} ({facts['skipped']} finished, {facts['unreadable']} "
            f"unreadable), about {counted(facts[f'{row}s'], row)}, {facts['bytes'] / 1e6:.1f} MB, into "
            f"{facts['output']}."
        )
    if facts["skipped"] == facts["items"]:
        few = {0: "there are no items", 1: "its one item is there"}
        there = few.get(facts["items"], f"all {facts['items']} items are there")
        return f"{facts['output']}: nothing to do, {there}."
    text = f"{facts['output']}: {outcome_text(facts)}; {facts['skipped']} finished before."
    return text + rows_text(facts, row) + failures_text(facts, result)


def _render_encode(facts: dict[str, Any]) -> str:
    codes = counted(facts["items"], "code")
    text = f"{facts['output']}: {codes} of {counted(facts['dimension'], 'number')} from {facts['feature']}"
    return text + (f", sets {', '.join(facts['sets'])}." if len(facts["sets"]) > 1 else ".")


def _render_svm_predict(facts: dict[str, Any]) -> str:
    return f"{facts['output']}: predictions of {counted(facts['items'], 'item')}."


def render_scores(facts: dict[str, Any]) -> str:
    """The figures of a classifier as a table, with intervals where there are some."""
    intervals = facts.get("intervals", {})
    rows = []
    for name in ("accuracy", "mean_per_class_accuracy", "map"):
        low, high = intervals.get(name, (None, None))
        rows.append([name.replace("_", " "), facts[name], f"{low:.3f} … {high:.3f}" if low is not None else ""])
    rows += [[f"hit@{k}", value, ""] for k, value in facts["hit"].items()]
    head = f"{facts['n_train']} training and {facts['n_test']} test items, {len(facts['classes'])} classes"
    head += f", split {facts['split']}" + (f", C = {facts['C']:g}{_how(facts)}" if "C" in facts else "")
    sets = (facts.get("cross_validation") or {}).get("sets", {})
    if sets:
        head += f", set {facts['set']}: the best of {len(sets)} by cross-validation"
    return head + "\n" + table(rows, ["figure", "value", "95 % interval"])


def _how(facts: dict[str, Any]) -> str:
    """What is not the default: kernel, γ, one-vs-one, weights, LIBLINEAR."""
    said = [] if facts.get("kernel", "linear") == "linear" else [f"kernel {facts['kernel']}"]
    gammas = facts.get("gamma")
    for gamma in [gammas] if isinstance(gammas, float) else gammas or []:
        said += [] if gamma is None else [f"γ = {gamma:.4g}"]
    said += ["one-vs-one"] if facts.get("multiclass") == "ovo" else []
    said += ["balanced class weights"] if facts.get("class_weights") == "balanced" else []
    said += ["by LIBLINEAR"] if facts.get("solver") == "liblinear" else []
    return "".join(f", {what}" for what in said)


def render_eval(facts: dict[str, Any]) -> str:
    """One run in full, or one row per run."""
    if "runs" not in facts:
        return render_scores(facts)
    paths = [Path(run["run"]) for run in facts["runs"]]
    names = [path.name for path in paths]
    rows = []
    for run, path in zip(facts["runs"], paths, strict=True):
        low, high = run.get("intervals", {}).get("accuracy", (None, None))
        interval = f"{low:.3f} … {high:.3f}" if low is not None else ""
        name = path.name if names.count(path.name) == 1 else str(path)
        rows.append([name, run["accuracy"], interval, run["mean_per_class_accuracy"]])
    return table(rows, ["run", "accuracy", "95 % interval", "mean per class accuracy"])


def _render_predict(facts: dict[str, Any]) -> str:
    rows = []
    for item in facts["predictions"]:
        shown = item.get("probabilities", item["scores"])
        ranked = ", ".join(f"{label} {value:.2f}" for label, value in shown.items())
        rows.append([item["id"], item["predicted"], ranked])
    calibrated = any("probabilities" in item for item in facts["predictions"])
    return table(rows, ["item", "predicted", "probabilities" if calibrated else "scores"])


def _render_demo(facts: dict[str, Any]) -> str:
    rows = [
        [row["encoding"], row["dimension"], row["accuracy"], row["mean_per_class_accuracy"]]
        for row in facts["encodings"]
    ]
    text = table(rows, ["encoding", "dimension", "accuracy", "mean per class"])
    for item in facts["unseen"]:
        text += f"\n\nUnseen file {item['id']}: predicted {item['predicted']}, truth {item['truth']}."
    return text + f"\nFiles are in {facts['output']}; took {facts['seconds']:.0f} s."
