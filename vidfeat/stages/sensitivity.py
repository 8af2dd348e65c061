"""``vidfeat report sensitivity``: plot what ``vidfeat svm train`` found for every C of rank pooling."""

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.report.sensitivity import MEASURES, Curve, sensitivity_figure
from vidfeat.stages import runs
from vidfeat.stages.config.sensitivity import SensitivityConfig
from vidfeat.stages.summary import Summary
from vidfeat.store import write_bytes

log = logging.getLogger("vidfeat")

FILE = "sensitivity.json"


def run(config: SensitivityConfig) -> Summary:
    """Write one picture of all runs."""
    runs.check_place(config.output)
    if config.output.is_dir():
        raise UsageError(f"The output {config.output} is a folder; give the name of a picture, such as C.png.")
    found = [read_sensitivity(folder) for folder in config.runs]
    measures = {content["measure"] for content in found}
    if len(measures) > 1:
        each = ", ".join(f"{folder}: {c['measure']}" for folder, c in zip(config.runs, found, strict=True))
        raise UsageError(f"The runs cannot share an axis, as they have different measures ({each}). Plot them apart.")
    names = names_of(config.runs)
    curves = [curve_of(name, content) for name, content in zip(names, found, strict=True)]
    picture = io.BytesIO()
    sensitivity_figure(curves, measures.pop()).savefig(picture, format=config.output.suffix.lower()[1:])
    write_bytes(config.output, picture.getvalue())
    rows = [{"run": c.name, "values of C": len(c.C), "chosen C": c.chosen} for c in curves]
    return Summary({"output": str(config.output), "runs": rows})


def read_sensitivity(folder: Path) -> dict[str, Any]:
    """What a run found for every set; UsageError in words if it had only one."""
    if (folder / "model.json").is_file() and not (folder / FILE).exists():
        raise UsageError(
            f"{folder} has no {FILE}, as it was trained on one set of codes. Encode with several values "
            "('vidfeat encode --method rankpool --C 0.01,1,100') and train without --set."
        )
    content = runs.read_json(folder, FILE)
    if content.get("measure") not in MEASURES:
        raise UsageError(f"{folder / FILE} is not what 'vidfeat svm train' writes. Train again.")
    return content


def names_of(folders: list[Path]) -> list[str]:
    """The names of the folders, or the whole paths if names repeat."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def curve_of(name: str, content: dict[str, Any]) -> Curve:
    """The sets that have a C, in its order, as arrays."""
    measure = content["measure"]
    rows = sorted((row for row in content["sets"] if row["C"] is not None), key=lambda row: row["C"])
    others = [row["set"] for row in content["sets"] if row["C"] is None]
    if not rows:
        raise UsageError(
            f"{name}: none of the sets {', '.join(others)} is named after a C of rank pooling, such as C=0.1, so there "
            "is nothing to plot over C."
        )
    if others:
        log.warning("%s: the sets %s have no C and are not in the plot.", name, ", ".join(others))
    column = lambda key: np.array([np.nan if row[key] is None else row[key] for row in rows])  # noqa: E731
    return Curve(
        name=name,
        C=column("C"),
        validation=column(f"cv_{measure}"),
        test=column(f"test_{measure}"),
        interval=np.array([row["interval95"] or (np.nan, np.nan) for row in rows], dtype=float),
        order_error=column("order_error_mean"),
        chosen=next((row["C"] for row in rows if row["set"] == content["chosen"]), None),
    )
