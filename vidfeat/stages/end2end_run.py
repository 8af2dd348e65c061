"""The folder RUN of a video network: checkpoints and log while it is trained, results when it is done."""

import csv
import io
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.networks import VideoNetwork
from vidfeat.stages import runs
from vidfeat.stages.end2end_eval import check_finished
from vidfeat.stages.end2end_model import state_of
from vidfeat.store import fs, write_bytes, write_csv, write_json
from vidfeat.store.lock import OutputLock
from vidfeat.store.settings import check_settings
from vidfeat.training import Checkpoint

log = logging.getLogger("vidfeat")

FORMAT, VERSION = "vidfeat-end2end", 1
_STARTED, _LAST, _BEST, _MODEL = "run.json", "last.safetensors", "best.safetensors", "model.json"
_STEPS = "steps.csv"
_OWN = {
    _STARTED, _LAST, _BEST, _MODEL, "best-flow.safetensors", "results.json", "predictions.csv", "validation.csv",
    "log.csv", _STEPS, "curves.png", "tensorboard", "cache",
}  # fmt: skip
# What is there before run.json is, and remains of a run that was killed then.
_BEFORE = {"cache", "tensorboard"}
_PLAIN = (
    "epoch steps videos frames failed loss accuracy validation best lr pooling_seconds data_seconds seconds "
    "frames_per_second"
)


class RunFolder:
    """What one run of training writes; process 0 alone has one that is open.

    Args:
        folder: RUN.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: OutputLock | None = None
        self.steps: list[Mapping[str, Any]] | None = None

    def open(self, settings: Mapping[str, Any], overwrite: bool) -> bool:
        """Take the folder, or take up what it holds; true if the run in it is finished already.

        Raises:
            UsageError: it holds something else, or a run with other settings, or another process is writing it.
        """
        runs.check_place(self.folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"The output {self.folder} is a file; give the name of a folder.")
        self._lock = OutputLock(self.folder.with_name(self.folder.name + ".lock"))
        there = self.folder / _STARTED
        holds = sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []
        foreign = [name for name in holds if name not in _BEFORE and not name.startswith(f".{_STARTED}.")]
        if foreign and not there.is_file():
            raise UsageError(
                f"{self.folder} exists and is not a run of 'vidfeat end2end train' (it holds {foreign[0]!r}). Choose "
                "another folder."
            )
        for path in self.folder.glob(".*.tmp"):
            path.unlink()  # of a process that was killed: whoever writes here holds the lock
        if there.is_file() and not overwrite:
            check_settings(self.folder, runs.read_json(self.folder, _STARTED)["settings"], settings)
            return (self.folder / "results.json").is_file()
        self._clear(holds)
        with fs.writing(self.folder):
            self.folder.mkdir(exist_ok=True)
        return False

    def started(self, settings: Mapping[str, Any], chunk: int) -> None:
        """Remember what the run is, so that only the same goes on with it."""
        if not (self.folder / _STARTED).is_file():
            facts = {"format": FORMAT, "version": VERSION, "settings": dict(settings), "chunk": chunk}
            write_json(self.folder / _STARTED, facts)

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def held(self) -> bool:
        """Whether this process writes the folder."""
        return self._lock is not None

    @property
    def chunk(self) -> int | None:
        """Frames at once of the run when it began: the same again gives the same bits."""
        return runs.read_json(self.folder, _STARTED)["chunk"] if (self.folder / _STARTED).is_file() else None

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The last one, if there is any."""
        path = self.folder / _LAST
        return Checkpoint.read(path) if path.is_file() else None

    def steps_until(self, steps: int) -> list[Mapping[str, Any]]:
        """The rows of ``steps.csv`` that are there already, of that many steps: where a run goes on."""
        path = self.folder / _STEPS
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if int(row["steps"]) <= steps]

    @property
    def best(self) -> Path:
        return self.folder / _BEST

    def save(self, checkpoint: Checkpoint, best: bool, model: VideoNetwork) -> None:
        """After an epoch, or in the midst of one: the best state before the last, which tells that it is there."""
        if best:
            facts = {"epoch": checkpoint.epoch - 1, "score": checkpoint.best}
            for name, content in weight_files(model, facts).items():
                write_bytes(self.folder / name, content)
        write_bytes(self.folder / _LAST, checkpoint.to_bytes())
        header, rows = log_table(checkpoint.history)
        write_csv(self.folder / "log.csv", header, rows)
        if self.steps is not None:
            header = [name for name in (self.steps[0] if self.steps else {}) if name != "kind"]
            write_csv(self.folder / _STEPS, header, [[row[name] for name in header] for row in self.steps])

    def draw(self, history: Sequence[Mapping[str, Any]], measure: str) -> None:
        """``curves.png``."""
        from vidfeat.report.training import training_figure

        picture = io.BytesIO()
        training_figure(history, measure).savefig(picture, format="png")
        write_bytes(self.folder / "curves.png", picture.getvalue())

    def finish(
        self, meta: Mapping[str, Any], results: Mapping[str, Any], test: Sequence[Any], validation: Sequence[Any] | None
    ) -> None:
        """The results, last of all: a run that has ``results.json`` is complete.

        ``test`` and ``validation`` are the arguments of ``runs.write_predictions`` after the path.
        """
        if validation is not None:
            runs.write_predictions(self.folder / "validation.csv", *validation)
        runs.write_predictions(self.folder / "predictions.csv", *test)
        write_json(self.folder / _MODEL, dict(meta))
        write_json(self.folder / "results.json", dict(results))

    def _clear(self, holds: Sequence[str]) -> None:
        for name in holds:
            path = self.folder / name
            if name not in _OWN or name == "cache":
                continue  # not the run's, or frames that are the same again
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def weight_files(model: VideoNetwork, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """``best.safetensors``, and for two streams the network of flow in a file of its own."""
    from safetensors.torch import save

    header = {"format": FORMAT, "state": json.dumps(dict(facts))}
    found = {_BEST: save(state_of(model), header)}
    if len(model.streams) > 1 and "flow" in model.streams and model.streams["flow"].frames is not None:
        found["best-flow.safetensors"] = save(model.streams["flow"].frames.state_for_extract(), header)
    return found


def read_model(folder: Path) -> dict[str, Any]:
    """``model.json`` of a finished run. UsageError in words if there is none."""
    check_finished(folder, _MODEL)
    meta = runs.read_json(folder, _MODEL)
    if meta.get("format") != FORMAT or meta.get("version") != VERSION:
        raise UsageError(
            f"{folder}/model.json is {meta.get('format')!r} version {meta.get('version')}; this command reads "
            f"{FORMAT!r} version {VERSION}, which 'vidfeat end2end train' writes."
        )
    return meta


def log_table(history: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of ``log.csv``: one per epoch, with ``weight:STREAM`` of several streams and
    ``beta:STREAM:PYRAMID:NODE`` of pyramids."""
    header = _PLAIN.split()
    rows = []
    for record in history:
        more = {}
        if len(record["stream_weights"]) > 1:
            more |= {f"weight:{name}": value for name, value in record["stream_weights"].items()}
        for stream, pyramids in record["beta"].items():
            for place, value in np.ndenumerate(np.array(pyramids)):
                more[":".join(["beta", stream, *map(str, place)])] = float(value)
        rows.append([*("" if record[name] is None else record[name] for name in header), *more.values()])
    return header + (list(more) if history else []), rows
