"""Commands that draw: report."""

from typing import Any

import typer

from vidfeat.cli import fusion, search
from vidfeat.cli.command import add_command
from vidfeat.cli.console import failures_text, outcome_text, rows_text, table
from vidfeat.stages.config.patches import CorrespondenceConfig, PatchesConfig
from vidfeat.stages.config.report import DynamicImageConfig, FlowReportConfig
from vidfeat.stages.config.sensitivity import SensitivityConfig
from vidfeat.words import counted


def register(app: typer.Typer) -> None:
    report = typer.Typer(name="report", no_args_is_help=True, help="Pictures and plots of videos and results.")
    add_command(
        report, "sensitivity", SensitivityConfig, "sensitivity", render=_render_sensitivity, help=_SENSITIVITY,
        group="report",
    )  # fmt: skip
    add_command(
        report, "dynamic-image", DynamicImageConfig, "dynamic_image", render=_render_dynamic_image, help=_DYNAMIC_IMAGE,
        group="report",
    )  # fmt: skip
    add_command(report, "flow", FlowReportConfig, "report_flow", render=_render_flow, help=_FLOW, group="report")
    add_command(
        report, "correspondence", CorrespondenceConfig, "correspondence", render=_render_correspondence,
        help=_CORRESPONDENCE, group="report",
    )  # fmt: skip
    add_command(report, "patches", PatchesConfig, "patches", render=_render_patches, help=_PATCHES, group="report")
    fusion.register_reports(report)
    search.register_reports(report)
    app.add_typer(report)


_SENSITIVITY = (
    "Plot accuracy and temporal order error over the C of rank pooling, for runs whose codes have several sets.\n\n"
    "Cross-validation alone chooses C; the test accuracy of the other values is for looking only.\n\n"
    "Example:  vidfeat report sensitivity RUN -o C.png"
)
_DYNAMIC_IMAGE = (
    "Show the motion of a video in one still picture, its dynamic image: approximate rank pooling of the frames "
    "(Bilen et al., Dynamic Image Networks for Action Recognition, 2016).\n\n"
    "The smallest value becomes 0, the largest 255; what stands still has one shade of grey. Exit code 1 means that "
    "some items failed; OUTPUT.failures.csv says why, the others are kept.\n\n"
    "Example:  vidfeat report dynamic-image walk.mp4 -o walk.png --window 50 --hop 25"
)

_FLOW = (
    "Show the optical flow of videos: films with the frames on the left and their flow on the right, or pictures.\n\n"
    "The direction of the motion is the hue, its length the saturation (Baker et al., A Database and Evaluation "
    "Methodology for Optical Flow, 2011): no motion is white, what is longer than the maximum darker. The wheel in "
    "the corner, where there is room for it, says which colour is which motion, and how many pixels its radius is. "
    "Exit code 1 means that some items failed; OUTPUT.failures.csv says why, the others are kept.\n\n"
    "Example:  vidfeat report flow walk.mp4 -o walk-flow.mp4 --max-seconds 10"
)
_CORRESPONDENCE = (
    "Show what local features tell apart: pictures rebuilt from the patches of other pictures that are nearest in "
    "feature space (Ng, Video Understanding with Deep Networks, 2018, section 2.4.3).\n\n"
    "Every cell of a conv map is a local feature, L2-normalised; its patch is its share of the picture, which is "
    "resized to a square. All cells of all references are compared. Exit code 1 means that some items failed; "
    "OUTPUT.failures.csv says why.\n\n"
    "Example:  vidfeat report correspondence beach.jpg holidays/ -o beach.png --backbone googlenet "
    "--layer inception_4a,inception_5b"
)
_PATCHES = (
    "Show what local features group together: patches drawn from the pictures, each with the nearest patches of other "
    "pictures in feature space (Ng, Video Understanding with Deep Networks, 2018, section 2.4.3).\n\n"
    "A row has at most one patch of each other image or video. Exit code 1 means that some items failed; "
    "OUTPUT.failures.csv says why.\n\n"
    "Example:  vidfeat report patches holidays/ -o patches.png --layer conv3 --references 20"
)


def _render_sensitivity(facts: dict[str, Any]) -> str:
    rows = []
    for run in facts["runs"]:
        C = run["chosen C"]
        rows.append([run["run"], run["values of C"], "none" if C is None else f"{C:g}"])
    return f"{facts['output']}:\n" + table(rows, ["run", "values of C", "chosen C"])


def _render_dynamic_image(facts: dict[str, Any]) -> str:
    return _render_pictures(facts, "frame", "a picture")


def _render_flow(facts: dict[str, Any]) -> str:
    text = _render_pictures(facts, "field", "a film or pictures")
    full = {f"{shown['maximum']:.3g}" for shown in facts["pictures"]}
    return text + (f"\nFull colour: {', '.join(sorted(full, key=float))} pixels of motion." if full else "")


def _render_pictures(facts: dict[str, Any], row: str, what: str) -> str:
    return f"{facts['output']}: {outcome_text(facts)}." + rows_text(facts, row) + failures_text(facts, what)


def _render_correspondence(facts: dict[str, Any]) -> str:
    pairs = [(layer, str(count)) for layer in facts["layers"] for count in facts["neighbours"]]
    rows = [
        [target["id"], f"{target['time']:.2f}", *(target["distances"][layer][count] for layer, count in pairs)]
        for target in facts["targets"]
    ]
    header = ["target", "seconds", *(f"{layer}, {count} nearest" for layer, count in pairs)]
    what = f"{counted(len(rows), 'row')}, rebuilt from {counted(facts['references'], 'frame')}; {outcome_text(facts)}."
    text = f"{facts['output']}: {what}" + rows_text(facts, "frame") + failures_text(facts, "patches")
    return text + "\nMean L2 distance of the patches used:\n" + table(rows, header)


def _render_patches(facts: dict[str, Any]) -> str:
    what = ", ".join(f"{counted(len(rows), 'row')} of {layer}" for layer, rows in facts["references"].items())
    text = f"{facts['output']}: {what}; {outcome_text(facts)}."
    return text + rows_text(facts, "frame") + failures_text(facts, "patches")
