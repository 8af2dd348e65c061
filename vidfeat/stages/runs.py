"""The folder RUN: results.json, predictions.csv, model.json, and the model (:mod:`vidfeat.stages.run_model`)."""

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.classify.linear_model import LinearModel
from vidfeat.classify.platt import Calibration
from vidfeat.errors import UsageError
from vidfeat.stages.relabel import join_labels
from vidfeat.stages.run_model import Model, model_file, read_model, write_model
from vidfeat.store import fs, write_csv, write_json

__all__ = ["FORMAT", "VERSIONS", "Run", "model_file", "read_predictions", "read_run", "write_run"]

FORMAT = "vidfeat-svm"
# 1: linear one-vs-rest machines, one LIBSVM file per class. 2: all others.
VERSIONS = (1, 2)


@dataclass(frozen=True)
class Run:
    """A trained classifier and what model.json says of it."""

    model: Model
    meta: dict[str, Any]
    support_ids: Sequence[str] = ()  # of kernel machines

    @property
    def classes(self) -> list[str]:
        return self.meta["classes"]

    @property
    def sources(self) -> list[dict[str, Any]]:
        """Per codes file: set, dimension, provenance."""
        alone = {name: self.meta.get(name) for name in ("set", "dimension", "provenance")}
        return self.meta.get("sources", [alone])

    def scores(self, codes: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """float64 ``[items, classes]`` of codes ``[items, D]``, one array per codes file."""
        return self.model.scores([codes] if isinstance(codes, np.ndarray) else list(codes))

    def probabilities(self, scores: np.ndarray) -> np.ndarray | None:
        """Calibrated probabilities ``[items, classes]`` of scores; None if the run was trained without."""
        stored = self.meta.get("calibration")
        return None if stored is None else Calibration.from_dict(stored).probabilities(scores)

    def joined(self, labels: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Labels of new items, with the classes joined that training joined (``--merge-labels``)."""
        return [join_labels(own, self.meta["merge_labels"]) for own in labels]


def version_of(model: Model) -> int:
    """The version that model.json gets."""
    return 1 if isinstance(model, LinearModel) and model.multiclass == "ovr" else 2


def check_place(output: Path) -> None:
    """UsageError, before any work, unless a file or folder of this name can be made."""
    if not output.parent.is_dir():
        raise UsageError(f"The folder {output.parent} of the output {output.name} does not exist. Create it first.")
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise UsageError(f"The folder {output.parent} of the output {output.name} may not be written to.")


def check_table(output: Path) -> None:
    """UsageError, before any work, unless a CSV of this name can be written."""
    check_place(output)
    if output.is_dir():
        raise UsageError(f"The output {output} is a folder; give the name of a file, such as predictions.csv.")


def check_free(folder: Path, overwrite: bool) -> None:
    """UsageError, before any work, if RUN cannot be made, or exists and may not be replaced."""
    check_place(folder)
    if folder.exists() and not overwrite:
        raise UsageError(f"{folder} exists already. Choose another folder, or give --overwrite to replace it.")
    if (
        folder.exists()
        and not (folder / "model.json").is_file()
        and any(folder.iterdir() if folder.is_dir() else [folder])
    ):
        raise UsageError(
            f"{folder} exists and is not a run of vidfeat svm, so --overwrite leaves it alone. Choose another folder."
        )


def write_run(
    folder: Path, run: Run, results: dict[str, Any], predictions: Sequence[Any], more: Mapping[str, Any]
) -> None:
    """Write the folder under a private name and rename it, so that a half-written run never has its name.

    ``predictions`` are the arguments of ``write_predictions`` after the path, ``more`` further JSON files by name.
    StorageError if the disk fails; a run that was there before is then still there.
    """
    with fs.writing(folder):
        # Everything that is removed in the end lies in this folder, which nobody else has made or knows.
        private = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        new, old = private / "new", private / "old"
        try:
            new.mkdir()
            write_model(new, run.model, run.support_ids, run.classes)
            write_json(new / "model.json", run.meta)
            write_predictions(new / "predictions.csv", *predictions)
            for name, content in {"results.json": results, **more}.items():
                write_json(new / name, content)
            if folder.exists():
                fs.rename(folder, old)
            fs.rename(new, folder)
            fs.fsync_dir(folder.parent)
        finally:
            if old.exists() and not folder.exists():
                fs.rename(old, folder)
            shutil.rmtree(private, ignore_errors=True)


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """One of the run's JSON files; UsageError in words if the folder is no run."""
    path = folder / name
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{folder} is not a run: it has no {name}. 'vidfeat svm train' writes one.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"Cannot read {path}: {error}.") from None


def read_run(folder: Path) -> Run:
    """Load a run's model."""
    meta = read_json(folder, "model.json")
    if meta.get("format") != FORMAT or meta.get("version") not in VERSIONS:
        raise UsageError(
            f"{folder}/model.json is {meta.get('format')!r} version {meta.get('version')}; this vidfeat reads "
            f"{FORMAT!r} version {' and '.join(map(str, VERSIONS))}. Train again."
        )
    return Run(read_model(folder, meta), meta)


def write_predictions(
    path: Path,
    ids: Sequence[str],
    parts: Sequence[str],
    labels: Sequence[tuple[str, ...]],
    scores: np.ndarray,
    classes: Sequence[str],
    probabilities: np.ndarray | None = None,
) -> None:
    """``id,split,label,predicted,score:<class>…``, one row per item, and ``probability:<class>…`` if there are some.

    ``predicted`` has the highest score.
    """
    best = scores.argmax(axis=1)
    more = np.empty((len(scores), 0)) if probabilities is None else probabilities
    rows = [
        [item_id, part, "|".join(own), classes[top], *row, *others]
        for item_id, part, own, top, row, others in zip(
            ids, parts, labels, best, scores.tolist(), more.tolist(), strict=True
        )
    ]
    head = ["id", "split", "label", "predicted", *(f"score:{name}" for name in classes)]
    write_csv(path, head + ([] if probabilities is None else [f"probability:{name}" for name in classes]), rows)


def read_predictions(folder: Path) -> tuple[list[str], list[tuple[str, ...]], np.ndarray, list[str]]:
    """Ids, labels, scores ``[items, classes]`` and classes of a run's predictions.csv."""
    path = folder / "predictions.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        classes = [name.removeprefix("score:") for name in header[4:] if name.startswith("score:")]
        end = 4 + len(classes)
        scores = np.array([[float(value) for value in row[4:end]] for row in rows]).reshape(len(rows), len(classes))
    except FileNotFoundError:
        raise UsageError(f"{folder} is not a run: it has no predictions.csv. 'vidfeat svm train' writes one.") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"Cannot read {path}: {error}.") from None
    labels = [tuple(part for part in row[2].split("|") if part) for row in rows]
    return [row[0] for row in rows], labels, scores, classes
