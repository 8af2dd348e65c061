"""``vidfeat end2end train``: a network of whole videos, from files to results."""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidfeat import interrupt
from vidfeat.datasets.items import Item
from vidfeat.datasets.listing import list_items
from vidfeat.errors import UsageError
from vidfeat.networks import VideoNetwork
from vidfeat.progress import Progress
from vidfeat.stages import scores
from vidfeat.stages.config.end2end import End2EndTrainConfig
from vidfeat.stages.config.options import as_json
from vidfeat.stages.devices import cores_per_device, resolve_devices
from vidfeat.stages.end2end_clips import CENTRE
from vidfeat.stages.end2end_input import Batches, FeatureSource, PixelSource, Source, augmented, feature_names
from vidfeat.stages.end2end_items import Parts, groups_of, parts_of
from vidfeat.stages.end2end_model import build_model, description_of, load_state, remembered
from vidfeat.stages.end2end_pixels import crops_of, decode_plan, pixels_of, stacking
from vidfeat.stages.end2end_record import Recorder, warn_of_guessing
from vidfeat.stages.end2end_run import FORMAT, VERSION, RunFolder
from vidfeat.stages.end2end_settings import run_settings, sha256_of, training_settings
from vidfeat.stages.end2end_supply import Supply
from vidfeat.stages.failures import Failure, write_failures
from vidfeat.stages.runs import read_json
from vidfeat.store import FeatureFile, open_features
from vidfeat.training import Fitted, NotFiniteError, Trainer, Validation, World, balanced_weights
from vidfeat.weights.files import read_state

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class TrainSummary:
    """The content of results.json; in a process that is not the first, nothing."""

    results: dict[str, Any]
    output: Path
    failures: list[Failure] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return 1 if self.failures else 0

    def as_dict(self) -> dict[str, Any]:
        return {**self.results, "output": str(self.output), "failures": [vars(failure) for failure in self.failures]}


@dataclass(frozen=True)
class _Task:
    """A run that is ready to begin."""

    config: End2EndTrainConfig
    parts: Parts
    made: dict[str, Any]
    model: VideoNetwork
    input: dict[str, Any]
    file: FeatureFile | None
    settings: dict[str, Any]


def train(config: End2EndTrainConfig) -> TrainSummary:
    """Train, keep the best epoch, predict the test part, and write RUN; the same again goes on where it was.

    Raises:
        UsageError: wrong options or input, or RUN holds another run.
        NotFiniteError: the loss is NaN or infinite; RUN holds the state before.
    """
    devices = resolve_devices(config.device)
    if len(devices) > 1 and config.device != "auto":
        raise UsageError(
            f"--device {config.device} names several; one process trains on one device. Start several with 'torchrun "
            "--nproc-per-node N -m vidfeat.cli.main end2end train …'."
        )
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    _check_tensorboard(config)
    task = _task(config)
    world = World.from_env(config.device)
    run = RunFolder(config.output)
    try:
        finished = run.open(task.settings, config.overwrite) if world.rank == 0 else False
        if world.sums([finished])[0]:
            return _finished(run, world)
        with _source(task, run, world) as source:
            return _train(task, run, world, source)
    finally:
        run.close()
        world.leave()
        if task.file is not None:
            task.file.close()


def _task(config: End2EndTrainConfig) -> _Task:
    """Everything that can be refused before work begins."""
    listing = list_items(config.inputs)
    parts = parts_of(listing.items, config)
    file = open_features(config.features) if config.features is not None else None
    names = feature_names(file, config.feature) if file is not None else None
    made = description_of(config, names and {stream: dim for stream, (_, dim) in names.items()})
    weights = None
    if config.class_weights == "balanced":
        weights = balanced_weights(parts.targets(parts.train, config.loss), len(parts.classes))
    model = build_model(made, len(parts.classes), weights)
    if file is None:
        input = pixels_of(config, model)
    else:
        input = {"features": file.fingerprint, "datasets": {stream: name for stream, (name, _) in names.items()}}
    settings = run_settings(config, model, parts, training_settings(config), input)
    return _Task(config, parts, remembered(made, model), model, input, file, settings)


@contextlib.contextmanager
def _source(task: _Task, run: RunFolder, world: World) -> Iterator[Source]:
    if task.file is not None:
        yield FeatureSource(task.file, task.input["datasets"])
        return
    config = task.config
    plan = decode_plan(task.input, config.cache or run.folder / "cache", str(world.device), config.timeout)
    items = [*task.parts.train, *task.parts.validation, *task.parts.test]
    workers = default_workers(world) if config.workers is None else config.workers
    with Supply(items, plan, workers) as supply:
        yield PixelSource(supply, crops_of(task.input), **stacking(task.input))


def default_workers(world: World) -> int:
    """Decoding processes of each training process: on a CPU the network needs the cores too."""
    share = cores_per_device([str(world.device)] * world.size)
    return max(1, share // 2) if world.device.type == "cpu" else max(1, min(share - 1, 16))


def _train(task: _Task, run: RunFolder, world: World, source: Source) -> TrainSummary:
    config, parts = task.config, task.parts
    checkpoint = run.checkpoint
    # Memory may have allowed fewer frames at once than in the beginning.
    settings = training_settings(config, checkpoint.chunk if checkpoint is not None else run.chunk)
    view = {} if config.no_augment else {"view": augmented(config.seed, config.smallest_crop, not config.no_flip)}
    training = Batches(
        source, parts.train, parts.targets(parts.train, config.loss), world, settings.batch, config.seed, **view
    )
    held = Batches(source, parts.validation, None, world)
    test = Batches(source, parts.test, None, world)
    with interrupt.deferred(), Progress(settings.epochs, "epochs") as progress:
        recorder = Recorder(run, config, progress, checkpoint, world.rank == 0)
        about = {"classes": parts.classes}
        trainer = Trainer(task.model, settings, world, recorder.log, about)
        recorder.model = trainer.model
        if world.rank == 0:
            run.started(task.settings, trainer.stepper.two_pass.chunk)
        world.sums([0.0])  # the others may look into the folder from here on
        training.expect_epoch(checkpoint.epoch if checkpoint else 0)
        held.expect_all()
        test.expect_all()
        validation = None
        if parts.validation:
            validation = Validation(held.in_order, parts.targets(parts.validation, config.loss))
        started = time.monotonic()
        try:
            fitted = trainer.fit(
                training.train, training.steps, validation, recorder.save, checkpoint, interrupt.asked
            )  # fmt: skip
        except NotFiniteError as error:
            raise NotFiniteError(f"{error} {_ways_on(run)}") from error
        interrupt.check()
        recorder.close(fitted.history)
        world.sums([0.0])  # best.safetensors is whole
        if run.best.is_file():
            load_state(trainer.model, read_state(run.best, own=True))
        found = trainer.predict(test.in_order(), len(parts.test))
        chosen = trainer.predict(held.in_order(), len(parts.validation)) if parts.validation else None
    return _finish(task, run, world, source, fitted, found, chosen, time.monotonic() - started)


def _finish(
    task: _Task, run: RunFolder, world: World, source: Source, fitted: Fitted, found: Sequence[np.ndarray],
    chosen: Sequence[np.ndarray] | None, seconds: float,
) -> TrainSummary:  # fmt: skip
    config, parts = task.config, task.parts
    failures = _failures(task, source, world)
    if world.rank != 0:
        return TrainSummary({}, config.output)
    write_failures(config.output, failures)
    if config.class_weights == "none":
        warn_of_guessing(fitted.history, config.loss, len(parts.classes))
    rows = np.flatnonzero(found[1])
    if not len(rows):
        raise UsageError(f"None of the {len(parts.test)} test items could be read; see {config.output}.failures.csv.")
    judged = [parts.test[row] for row in rows]
    lost = {failure.id for failure in failures}
    train_ids = [item.id for item in parts.train]
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "classes": parts.classes,
        "network": task.made,
        "input": task.input,
        "split": parts.split,
        "train_ids": train_ids,
        "train_ids_sha256": sha256_of(train_ids),
        "test_groups": groups_of(judged),
        "best_epoch": fitted.best_epoch,
    }
    results = {
        "split": parts.split,
        "n_train": len([item_id for item_id in train_ids if item_id not in lost]),
        "n_validation": 0 if chosen is None else int(np.count_nonzero(chosen[1])),
        "n_test": len(judged),
        "n_failed": len(failures),
        **scores.figures([item.labels for item in judged], found[0][rows], parts.classes),
        "epochs": fitted.epochs,
        "stopped": fitted.stopped,
        "best_epoch": fitted.best_epoch,
        "validation": fitted.best,
        "seconds": round(seconds, 1),
        "config": as_json(config),
        "train_ids_sha256": meta["train_ids_sha256"],
    }
    validation = None
    if chosen is not None:
        validation = _table(parts, parts.validation, chosen, "val")
    run.finish(meta, results, _table(parts, parts.test, found, "test"), validation)
    return TrainSummary(results, config.output, failures)


def _table(parts: Parts, items: Sequence[Item], found: Sequence[np.ndarray], name: str) -> tuple[Any, ...]:
    rows = np.flatnonzero(found[1])
    kept = [items[row] for row in rows]
    return [item.id for item in kept], [name] * len(kept), [item.labels for item in kept], found[0][rows], parts.classes


def _failures(task: _Task, source: Source, world: World) -> list[Failure]:
    """Of all processes, in the first; each knows its own, and the reasons are found again by asking once more."""
    items = [*task.parts.train, *task.parts.validation, *task.parts.test]
    counts = world.sums([item.id in source.failures for item in items])
    if world.rank != 0:
        return []
    for item, count in zip(items, counts, strict=True):
        if count and item.id not in source.failures:
            source.clips(item, CENTRE)
    return [source.failures[item.id] for item in items if item.id in source.failures]


def _finished(run: RunFolder, world: World) -> TrainSummary:
    if world.rank == 0:
        log.info("%s is finished; nothing to do. --overwrite trains it anew.", run.folder)
        return TrainSummary(read_json(run.folder, "results.json"), run.folder)
    return TrainSummary({}, run.folder)


def _ways_on(run: RunFolder) -> str:
    kept = "last.safetensors has that state"
    if run.best.is_file():
        kept += ", best.safetensors the best epoch; another run may begin with --weights " + str(run.best)
    return f"In {run.folder}, {kept}. The same command with --overwrite and other settings starts anew."


def _check_tensorboard(config: End2EndTrainConfig) -> None:
    if config.tensorboard:
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise UsageError(
                "--tensorboard needs the package tensorboard, which is not installed: pip install tensorboard."
            ) from None
