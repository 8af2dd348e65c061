"""``vidfeat extract``: CNN activations of videos and images into one features file."""

import logging
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import torch
import torchvision

from vidfeat import __version__, interrupt
from vidfeat.datasets.items import Item
from vidfeat.features import Extractor
from vidfeat.precision import check_device, check_precision
from vidfeat.progress import Progress
from vidfeat.stages import plan
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.decoding import DecodeOptions
from vidfeat.stages.devices import (
    DevicePlan,
    cores_per_device,
    default_workers,
    device_failures,
    resolve_devices,
    run_many,
    run_one,
)
from vidfeat.stages.failures import Failure, write_failures
from vidfeat.stages.recorder import Recorder, unfinished
from vidfeat.stages.request import (
    extractor_arguments,
    geometry_of,
    ignored_files,
    repeatable_options,
    sampling_of,
    select_items,
    settings_of,
    shard_of,
)
from vidfeat.stages.summary import Summary
from vidfeat.stages.tally import KEPT, STATES, Tally
from vidfeat.store import FeatureWriter

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class ExtractSummary:
    """What a run did. ``skipped`` items were finished by an earlier run."""

    output: Path
    items: int
    skipped: int
    states: Mapping[str, int]
    frames: int
    seconds: float
    failures: list[Failure] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Items whose features are in the file."""
        return self.skipped + sum(self.states.get(state, 0) for state in KEPT)

    @property
    def exit_code(self) -> int:
        return 1 if self.failures else 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "output": str(self.output),
            "items": self.items,
            "skipped": self.skipped,
            **{state: self.states.get(state, 0) for state in STATES},
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "failures": [vars(failure) for failure in self.failures],
        }


def run(config: ExtractConfig) -> ExtractSummary | Summary:
    """Extract every listed item that is not finished yet; with ``dry_run``, only say what that would be.

    Raises UsageError before any work for bad input, and StorageError if the output cannot be written; finished items
    are kept in both cases and after a signal.
    """
    if config.dry_run:
        return plan.run(config)
    started = time.monotonic()
    listing, items, output = select_items(config)
    devices = resolve_devices(config.device)
    for device in devices:
        check_precision(config.precision, check_device(device))
    arguments = extractor_arguments(config)
    with device_failures(devices[0]):
        extractor = Extractor(**arguments, device=devices[0])
    if extractor.ignored:
        log.info("Weights that no asked layer needs are left out: %s.", ", ".join(extractor.ignored))
    sampling, geometry = sampling_of(config), geometry_of(config, extractor.input_spec)
    device_plan = DevicePlan(
        extractor=arguments,
        options=DecodeOptions(sampling, geometry, config.decode_threads, config.timeout),
        batch_size=config.batch_size,
        workers=config.workers or default_workers(devices),
        threads=config.threads or cores_per_device(devices),
    )
    writer = FeatureWriter(
        output,
        settings_of(config, extractor.identity, sampling, geometry),
        {"options": repeatable_options(config), "shard": shard_of(config), "vidfeat": __version__},
        compression=config.compression,
        overwrite=config.overwrite,
        merge=not config.no_merge,
    )
    try:
        todo = unfinished(items, writer.done, strict=config.strict)
        finished = len(items) - len(todo)
        log.info("%d items: %d to do, %d finished before.%s", len(items), len(todo), finished, ignored_files(listing))
        with interrupt.deferred(), Progress(len(todo)) as progress:
            tally = Tally(progress)
            recorder = Recorder(writer, todo, run_attrs=versions(), strict=config.strict, tally=tally)
            try:
                _extract(extractor, devices, device_plan, todo, recorder, writer)
            finally:
                writer.flush()
                write_failures(output, tally.failures)
        writer.close()
    except BaseException:
        writer.stop()
        raise
    return ExtractSummary(
        output=output,
        items=len(items),
        skipped=finished,
        states=dict(tally.states),
        frames=tally.frames,
        seconds=time.monotonic() - started,
        failures=tally.failures,
    )


def _extract(
    extractor: Extractor,
    devices: Sequence[str],
    device_plan: DevicePlan,
    todo: Sequence[Item],
    recorder: Recorder,
    writer: FeatureWriter,
) -> None:
    def idle() -> None:
        interrupt.check()
        writer.tick()

    if todo and len(devices) == 1:
        run_one(extractor, device_plan, todo, recorder, idle)
    elif todo:
        run_many(devices, device_plan, todo, recorder, idle)


def versions() -> dict[str, str]:
    """Facts of this run that may differ between the items of one file without changing what they mean."""
    modules = ", ".join(f"{module.__name__} {module.__version__}" for module in (torch, torchvision, av))
    return {"versions": f"vidfeat {__version__}, {modules}, python {platform.python_version()}"}
