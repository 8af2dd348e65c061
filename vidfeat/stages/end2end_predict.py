"""``vidfeat end2end predict``: from new videos to labels with a trained video network."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat import interrupt
from vidfeat.datasets.items import Item
from vidfeat.datasets.listing import list_items
from vidfeat.errors import UsageError
from vidfeat.progress import Progress
from vidfeat.stages import runs
from vidfeat.stages.config.end2end import End2EndPredictConfig
from vidfeat.stages.devices import resolve_devices
from vidfeat.stages.end2end import default_workers
from vidfeat.stages.end2end_input import Batches, FeatureSource, PixelSource, Source
from vidfeat.stages.end2end_model import load_state, rebuild_model
from vidfeat.stages.end2end_pixels import crops_of, decode_plan, stacking
from vidfeat.stages.end2end_run import RunFolder, read_model
from vidfeat.stages.end2end_supply import Supply
from vidfeat.stages.end2end_vectors import write_vectors
from vidfeat.stages.failures import write_failures
from vidfeat.stages.predicted import PredictSummary
from vidfeat.store import open_features
from vidfeat.training import Settings, Trainer, VideoBatch, World
from vidfeat.weights.files import read_state


def predict(config: End2EndPredictConfig) -> PredictSummary:
    """Decode, score, and write what was asked for."""
    if config.output is not None:
        runs.check_predictions(config.output)
    meta = read_model(config.run)
    stored = "features" in meta["input"]
    if stored and config.vectors is not None:
        raise UsageError(
            f"--vectors: {config.run} was trained on stored frame vectors and has no network that makes any."
        )
    world = World.single(resolve_devices(config.device)[0])
    model = rebuild_model(meta["network"], len(meta["classes"]))
    load_state(model, read_state(RunFolder(config.run).best, own=True))
    items = _stored_items(config) if stored else list_items(config.inputs).items
    with interrupt.deferred(), _source(config, meta["input"], items, world) as source:
        batches = Batches(source, items, None, world)
        trainer = Trainer(model, Settings(chunk=config.chunk), world)
        with Progress(len(items)) as progress:
            found, seen = trainer.predict(_counted(batches.in_order(), progress), len(items))
        failures = [source.failures[item.id] for item in items if item.id in source.failures]
        rows = [int(row) for row in np.flatnonzero(seen)]
        if config.vectors is not None:
            write_vectors(config, meta, trainer, source, [items[row] for row in rows])
    kept = [items[row] for row in rows]
    if config.output is not None:
        trained = set(meta["train_ids"])
        parts = ["train" if item.id in trained else "" for item in kept]
        labels = [item.labels for item in kept]
        runs.write_predictions(config.output, [item.id for item in kept], parts, labels, found[rows], meta["classes"])
        write_failures(config.output, failures)
    entries = [_entry(item, found[row], meta["classes"], config.top) for item, row in zip(kept, rows, strict=True)]
    return PredictSummary(entries, failures)


def _stored_items(config: End2EndPredictConfig) -> list[Item]:
    with open_features(_one_file(config)) as file:
        return [Item(id=item_id, path=None, labels=file[item_id].labels, group=file[item_id].group) for item_id in file]


def _one_file(config: End2EndPredictConfig) -> Path:
    if len(config.inputs) != 1:
        raise UsageError(
            f"{config.run} was trained on stored frame vectors (--features), so IN is one features file made in the "
            f"same way; {len(config.inputs)} inputs came."
        )
    return config.inputs[0]


@contextlib.contextmanager
def _source(
    config: End2EndPredictConfig, input: Mapping[str, Any], items: Sequence[Item], world: World
) -> Iterator[Source]:
    if "features" in input:
        with open_features(_one_file(config)) as file:
            if file.fingerprint != input["features"]:
                raise UsageError(
                    f"{file.path} was not extracted as the features of the run were (fingerprint "
                    f"{file.fingerprint[:12]} there, {input['features'][:12]} in the run). Extract with the same "
                    "options."
                )
            yield FeatureSource(file, input["datasets"])
        return
    workers = default_workers(world) if config.workers is None else config.workers
    with contextlib.ExitStack() as stack:
        folder = config.cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vidfeat-")))
        plan = decode_plan(input, folder, str(world.device))
        supply = stack.enter_context(Supply(items, plan, min(workers, len(items))))
        yield PixelSource(supply, crops_of(input), **stacking(input))


def _counted(batches: Iterator[VideoBatch], progress: Progress) -> Iterator[VideoBatch]:
    for batch in batches:
        yield batch
        progress.add_frames(sum(sum(batch.lengths(name)) for name in batch.clips))
        for _ in batch.ids:
            progress.item_done()
        for _ in batch.failed:
            progress.item_done("failed")


def _entry(item: Item, scores: np.ndarray, classes: list[str], top: int) -> dict[str, Any]:
    best = np.argsort(-scores, kind="stable")[:top]
    return {
        "id": item.id,
        "predicted": classes[int(best[0])],
        "scores": {classes[int(column)]: float(scores[column]) for column in best},
    }
