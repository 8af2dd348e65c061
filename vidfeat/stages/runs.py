"""The folder RUN: results.json, predictions.csv, model.json, and the model (:mod:`vidfeat.stages.run_model`)."""

import contextlib
import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.classify.linear_model import LinearModel
from vidfeat.classify.platt import Calibration
from vidfeat.errors import UsageError
from vidfeat.stages.new_folder import check_place, check_table, foreign_names, new_folder
from vidfeat.stages.relabel import join_labels
from vidfeat.stages.run_model import Model, model_file, read_model, write_model
from vidfeat.store import write_csv, write_json

__all__ = [
    "FORMAT",
    "OWN_FILES",
    "VERSIONS",
    "Run",
    "check_free",
    "check_place",
    "check_predictions",
    "check_table",
    "complete",
    "model_file",
    "read_json",
    "read_predictions",
    "read_run",
    "write_predictions",
    "write_run",
    "writing_run",
]

FORMAT = "vidfeat-svm"
# 1: linear one-vs-rest machines, one LIBSVM file per class. 2: all others.
VERSIONS = (1, 2)
# What the folder of a run of svm, mkl or fuse may hold for --overwrite to replace it.
OWN_FILES = re.compile(
    r"(model|results|sensitivity|beta)\.json|predictions\.csv|beta\.png|model\.h5|(class-\d+|pair-\d+-\d+)\.libsvm"
)

# How every table of predictions begins, by which it is known to be one.
_PREDICTIONS_START = b"id,split,label,predicted,"


@dataclass(frozen=True)
class Run:
    """A trained classifier and what model.json says of it."""

    model: Model
    meta: dict[str, Any]
    support_ids: Sequence[str] = ()  # of kernel machines

    @property
    def command(self) -> str:
        return "vidfeat svm"

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


def check_free(folder: Path, overwrite: bool) -> None:
    """UsageError, before any work, if RUN cannot be made, or exists and may not be replaced."""
    check_place(folder)
    if not folder.exists():
        return
    if not overwrite:
        raise UsageError(f"{folder} exists already. Choose another folder, or give --overwrite to replace it.")
    others = foreign_names(folder, OWN_FILES) if folder.is_dir() else []
    if not folder.is_dir() or others:
        holds = f"holds {others[0]!r}, which is no part of a run of svm, mkl or fuse" if others else "is a file"
        raise UsageError(f"{folder} {holds}, so --overwrite leaves it alone. Choose another folder.")


@contextlib.contextmanager
def writing_run(
    folder: Path, meta: Mapping[str, Any], results: Mapping[str, Any], predictions: Sequence[Any]
) -> Iterator[Path]:
    """Write RUN; what else belongs to it is written inside the ``with``, into the folder that it gives.

    The folder is there as a whole or not at all. ``predictions`` are the arguments of ``write_predictions`` after the
    path. StorageError if the disk fails; a run that was there before is then still there.
    """
    with new_folder(folder, OWN_FILES) as new:
        yield new
        write_json(new / "model.json", meta)
        write_json(new / "results.json", results)
        write_predictions(new / "predictions.csv", *predictions)


def write_run(
    folder: Path, run: Run, results: dict[str, Any], predictions: Sequence[Any], more: Mapping[str, Any]
) -> None:
    """Write the folder of a run of ``vidfeat svm``; ``more`` are further JSON files by name."""
    with writing_run(folder, run.meta, results, predictions) as new:
        write_model(new, run.model, run.support_ids, run.classes)
        for name, content in more.items():
            write_json(new / name, content)


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """One of the run's JSON files; UsageError in words if the folder is no run."""
    path = folder / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, not an object with names")
        return content
    except FileNotFoundError:
        raise UsageError(f"{folder} is not a run: it has no {name}. 'vidfeat svm train' writes one.") from None
    except NotADirectoryError:
        raise UsageError(f"{folder} is a file, not the folder of a run. 'vidfeat svm train' writes one.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"Cannot read {path}: {error}.") from None


@contextlib.contextmanager
def complete(folder: Path) -> Iterator[None]:
    """UsageError in place of the KeyError of an entry that model.json lacks."""
    try:
        yield
    except KeyError as error:
        raise UsageError(f"{folder}/model.json is damaged: it has no {error}. Train again.") from None


def read_run(folder: Path) -> Run:
    """Load a run's model."""
    meta = read_json(folder, "model.json")
    if meta.get("format") != FORMAT or meta.get("version") not in VERSIONS:
        raise UsageError(
            f"{folder}/model.json is {meta.get('format')!r} version {meta.get('version')}; this vidfeat reads "
            f"{FORMAT!r} version {' and '.join(map(str, VERSIONS))}. Train with 'vidfeat svm train'."
        )
    with complete(folder):
        return Run(read_model(folder, meta), meta)


def check_predictions(output: Path) -> None:
    """UsageError, before any work, unless predictions can be written here: another file is never replaced."""
    check_table(output)
    if not output.exists():
        return
    try:
        with output.open("rb") as file:
            start = file.read(len(_PREDICTIONS_START))
    except OSError as error:
        raise UsageError(f"{output} cannot be opened: {error.strerror}.") from None
    if start != _PREDICTIONS_START:
        raise UsageError(
            f"{output} exists and is not a table of predictions, which alone is replaced. Choose another name, such "
            "as predictions.csv, or remove it yourself."
        )


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
            rows = [(number, row) for number, row in enumerate(csv.reader(file), start=1) if row]
    except FileNotFoundError:
        raise UsageError(f"{folder} is not a run: it has no predictions.csv. 'vidfeat svm train' writes one.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"Cannot read {path}: {error}.") from None
    header = rows[0][1] if rows else []
    classes = [name.removeprefix("score:") for name in header[4:] if name.startswith("score:")]
    if header[:4] != ["id", "split", "label", "predicted"] or not classes:
        raise UsageError(
            f"{path} begins with {','.join(header[:5])!r}, not with 'id,split,label,predicted,score:…' as "
            "'vidfeat svm train' writes it. Train again."
        )
    ids, labels, scores = [], [], []
    for number, row in rows[1:]:
        try:
            values = [float(value) for value in row[4 : 4 + len(classes)]]
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: {error}. Train again.") from None
        if len(row) != len(header):
            raise UsageError(
                f"{path}, line {number}: {len(row)} fields where the header has {len(header)}. Train again."
            )
        ids.append(row[0])
        labels.append(tuple(part for part in row[2].split("|") if part))
        scores.append(values)
    return ids, labels, np.array(scores).reshape(len(ids), len(classes)), classes
