"""The folder RUN: results.json, predictions.csv, model.json, and one LIBSVM text file per class."""

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

from vidfeat.classify.model_text import linear_model_text, parse_linear_model
from vidfeat.errors import UsageError
from vidfeat.stages.relabel import join_labels
from vidfeat.store import fs, write_csv, write_json, write_text

FORMAT = "vidfeat-svm"
VERSION = 1


@dataclass(frozen=True)
class LinearRun:
    """A trained one-vs-rest linear classifier: scores = codes · weightsᵀ + biases."""

    weights: np.ndarray  # [classes, D]
    biases: np.ndarray  # [classes]
    meta: dict[str, Any]

    @property
    def classes(self) -> list[str]:
        return self.meta["classes"]

    def scores(self, codes: np.ndarray) -> np.ndarray:
        """float64 ``[items, classes]``."""
        return np.asarray(codes, dtype=np.float64) @ self.weights.T + self.biases

    def joined(self, labels: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Labels of new items, with the classes joined that training joined (``--merge-labels``)."""
        return [join_labels(own, self.meta["merge_labels"]) for own in labels]


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
    folder: Path, run: LinearRun, results: dict[str, Any], predictions: Sequence[Any], more: Mapping[str, Any]
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
            for number, (weights, bias) in enumerate(zip(run.weights, run.biases, strict=True)):
                write_text(new / model_file(number), linear_model_text(weights, float(bias)))
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


def model_file(number: int) -> str:
    """Name of the LIBSVM file of one class, by its place in ``model.json``'s classes."""
    return f"class-{number:04d}.libsvm"


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """One of the run's JSON files; UsageError in words if the folder is no run."""
    path = folder / name
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{folder} is not a run: it has no {name}. 'vidfeat svm train' writes one.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"Cannot read {path}: {error}.") from None


def read_run(folder: Path) -> LinearRun:
    """Load a run's model."""
    meta = read_json(folder, "model.json")
    if meta.get("format") != FORMAT or meta.get("version") != VERSION:
        raise UsageError(
            f"{folder}/model.json is {meta.get('format')!r} version {meta.get('version')}; this vidfeat reads "
            f"{FORMAT!r} version {VERSION}. Train again."
        )
    weights, biases = [], []
    for number in range(len(meta["classes"])):
        path = folder / model_file(number)
        try:
            text = path.read_text(encoding="ascii")
        except OSError as error:
            raise UsageError(f"Cannot read the model of class {meta['classes'][number]!r}: {error}.") from None
        w, b, labels = parse_linear_model(text, meta["dimension"])
        sign = 1.0 if labels[0] == 1 else -1.0
        weights.append(sign * w)
        biases.append(sign * b)
    return LinearRun(np.array(weights), np.array(biases), meta)


def write_predictions(
    path: Path,
    ids: Sequence[str],
    parts: Sequence[str],
    labels: Sequence[tuple[str, ...]],
    scores: np.ndarray,
    classes: Sequence[str],
) -> None:
    """``id,split,label,predicted,score:<class>…``, one row per item."""
    best = scores.argmax(axis=1)
    rows = [
        [item_id, part, "|".join(own), classes[top], *row]
        for item_id, part, own, top, row in zip(ids, parts, labels, best, scores.tolist(), strict=True)
    ]
    write_csv(path, ["id", "split", "label", "predicted", *(f"score:{name}" for name in classes)], rows)


def read_predictions(folder: Path) -> tuple[list[str], list[tuple[str, ...]], np.ndarray, list[str]]:
    """Ids, labels, scores ``[items, classes]`` and classes of a run's predictions.csv."""
    path = folder / "predictions.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        classes = [name.removeprefix("score:") for name in header[4:]]
        scores = np.array([[float(value) for value in row[4:]] for row in rows]).reshape(len(rows), len(classes))
    except FileNotFoundError:
        raise UsageError(f"{folder} is not a run: it has no predictions.csv. 'vidfeat svm train' writes one.") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"Cannot read {path}: {error}.") from None
    labels = [tuple(part for part in row[2].split("|") if part) for row in rows]
    return [row[0] for row in rows], labels, scores, classes
