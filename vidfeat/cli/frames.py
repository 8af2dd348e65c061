"""The command that turns videos into folders of pictures: frames."""

from typing import Any

import typer

from vidfeat.cli.command import add_command
from vidfeat.cli.console import failures_text, outcome_text, rows_text
from vidfeat.stages.config.frame_folders import FrameFoldersConfig

_FRAMES = (
    "Write sampled frames of videos as PNG pictures, a folder for each video: FOLDER/ID/000123.png is frame 123.\n\n"
    "FOLDER/frames.csv is a manifest of all of them, with the video as label and group: a set for retrieval, where "
    "frames of the same video should find each other. Exit code 1 means that some items failed; FOLDER.failures.csv "
    "says why, the others are kept.\n\n"
    "Example:  vidfeat frames videos/ -o frames --num-frames 10  then  vidfeat extract frames/frames.csv -o feats.h5"
)


def register(app: typer.Typer) -> None:
    add_command(app, "frames", FrameFoldersConfig, "frames", render=_render, help=_FRAMES)


def _render(facts: dict[str, Any]) -> str:
    text = f"{facts['output']}: {outcome_text(facts)}." + rows_text(facts, "frame")
    text += f"\nAll of them are listed in {facts['manifest']}." if facts["manifest"] else ""
    return text + failures_text(facts, "pictures")
