"""The model inside a RUN: LIBSVM text files of linear machines, or model.h5 of kernel machines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.classify.bases import Blend
from vidfeat.classify.kernel_model import KernelModel
from vidfeat.classify.linear_model import LinearModel
from vidfeat.classify.machines import pairs_of
from vidfeat.classify.model_text import linear_model_text, parse_linear_model
from vidfeat.errors import UsageError
from vidfeat.store import write_text
from vidfeat.store.machines import Machines, read_machines, write_machines

Model = LinearModel | KernelModel
KERNEL_FILE = "model.h5"


def model_file(number: int) -> str:
    """Name of the LIBSVM file of one class, by its place in ``model.json``'s classes."""
    return f"class-{number:04d}.libsvm"


def files_of(n_classes: int, multiclass: str) -> list[str]:
    """Names of the LIBSVM files of linear machines, in their order."""
    if multiclass == "ovr" or n_classes == 2:
        return [model_file(number) for number in range(n_classes)]
    return [f"pair-{i:04d}-{j:04d}.libsvm" for i, j in pairs_of(n_classes)]


def write_model(folder: Path, model: Model, support_ids: Sequence[str], classes: Sequence[str]) -> None:
    """Write the model's files into ``folder``."""
    if isinstance(model, LinearModel):
        names = files_of(len(classes), model.multiclass)
        for name, weights, intercept in zip(names, model.weights, model.intercepts, strict=True):
            write_text(folder / name, linear_model_text(weights, float(intercept)))
        return
    blend = model.blend
    facts = {"kernel": blend.kernel, "gammas": list(blend.gammas), "scales": list(blend.scales),
             "multiclass": model.multiclass, "classes": list(classes)}  # fmt: skip
    machines = Machines(facts, support_ids, model.codes, model.dual, model.intercepts)
    write_machines(folder / KERNEL_FILE, machines)


def read_model(folder: Path, meta: dict[str, Any]) -> Model:
    """The model of a run, from what model.json says of it."""
    classes, multiclass = meta["classes"], meta.get("multiclass", "ovr")
    if meta["kernel"] != "linear":
        found = read_machines(folder / KERNEL_FILE)
        facts = found.facts
        if facts["classes"] != classes:
            raise UsageError(f"{folder / KERNEL_FILE} has other classes than model.json beside it. Train again.")
        blend = Blend(facts["kernel"], tuple(facts["gammas"]), tuple(facts["scales"]))
        return KernelModel(
            blend, tuple(found.codes), found.dual, found.intercepts, len(classes), facts["multiclass"]
        )  # fmt: skip
    weights, intercepts = [], []
    for number, name in enumerate(files_of(len(classes), multiclass)):
        try:
            text = (folder / name).read_text(encoding="ascii")
        except OSError as error:
            of = f"class {classes[number]!r}" if name == model_file(number) else f"the pair in {name}"
            raise UsageError(f"Cannot read the model of {of}: {error}.") from None
        w, b, labels = parse_linear_model(text, meta["dimension"])
        sign = 1.0 if labels[0] == 1 else -1.0
        weights.append(sign * w)
        intercepts.append(sign * b)
    multiclass = multiclass if len(classes) > 2 else "ovr"
    return LinearModel(np.array(weights), np.array(intercepts), len(classes), multiclass)
