"""The command that turns official lists into manifests: dataset."""

from typing import Any

import typer

from vidfeat.cli.command import add_command
from vidfeat.cli.console import table
from vidfeat.stages.config.dataset import DatasetConfig
from vidfeat.words import counted

_DATASET = (
    "Write a manifest from the official split and annotation files of a known data set: ucf101, hmdb51, jhmdb, "
    "ucf-sports, hollywood2, sports1m, kinetics (400, 600, 700), activitynet.\n\n"
    "Nothing is downloaded. Official splits are columns (split1, split2, split3, or split), with all labels of an "
    "item, and groups that no split separates. OUTPUT.classes.csv has the official numbers of the classes. Exit code 1 "
    "means that listed items have no file: OUTPUT.missing.csv says which and why, the others are in the manifest.\n\n"
    "Example:  vidfeat dataset ucf101 UCF-101/ --splits ucfTrainTestlist/ -o ucf101.csv"
)


def register(app: typer.Typer) -> None:
    add_command(app, "dataset", DatasetConfig, "dataset", render=_render, help=_DATASET)


def _render(facts: dict[str, Any]) -> str:
    head = f"{facts['output']}: {counted(facts['items'], 'item')} of {facts['listed']} listed"
    head += f", {_classes(facts['classes'])}, {counted(facts['groups'], 'group')}"
    head += f", {counted(facts['segments'], 'segment')}" if facts["segments"] else ""
    head += f", {facts['several_labels']} with several labels" if facts["several_labels"] else ""
    rows = [
        [split, part, counts["listed"], counts["items"]]
        for split, parts in facts["splits"].items()
        for part, counts in parts.items()
    ]
    text = head + ".\n" + table(rows, ["split", "part", "listed", "items"])
    if facts["missing"]:
        reasons = ", ".join(f"{number} {reason}" for reason, number in facts["reasons"].items())
        text += f"\n{facts['missing']} left out ({reasons}): {facts['missing_list']}"
    if facts["unlisted_videos"]:
        text += f"\n{counted(facts['unlisted_videos'], 'video')} below ROOT in no list."
    return text


def _classes(number: int) -> str:
    return "1 class" if number == 1 else f"{number} classes"
