"""``vidfeat extract``: CNN activations of videos and images into one features file."""

import logging
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidfeat import __version__, interrupt
from vidfeat.progress import Progress
from vidfeat.stages import plan
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.devices import DevicePlan, default_workers, resolve_devices, run_many, run_one
from vidfeat.stages.pipeline import DecodeOptions
from vidfeat.stages.recorder import KEPT, Failure, Recorder, changed_sources
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
from vidfeat.store import FeatureWriter, write_csv

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
            **{state: self.states.get(state, 0) for state in ("done", "truncated", "empty", "failed")},
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "failures": [vars(failure) for failure in self.failures],
        }


def run(config: ExtractConfig) -> ExtractSummary | Summary:
    """Extract every listed item that is not finished yet; with ``dry_run``, only say what that would be.

    Raises UsageError before any work for bad input, and StorageError if the output cannot be written; finished items
    are kept in both cases and after a signal.
    """
    import torch

    from vidfeat.features import Extractor

    if config.dry_run:
        return plan.run(config)
    started = time.monotonic()
    listing, items, output = select_items(config)
    devices = resolve_devices(config.device)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    arguments = extractor_arguments(config)
    # Several devices have a network each in their own process; this one is then only asked for its identity.
    extractor = Extractor(**arguments, device=devices[0] if len(devices) == 1 else "cpu")
    sampling, geometry = sampling_of(config), geometry_of(config, extractor.input_spec)
    settings = settings_of(config, extractor.identity, sampling, geometry)
    run_facts = {"options": repeatable_options(config), "shard": shard_of(config), "vidfeat": __version__}

    writer = FeatureWriter(
        output,
        settings,
        run_facts,
        compression=config.compression,
        overwrite=config.overwrite,
        merge=not config.no_merge,
    )
    try:
        changed = set(changed_sources(items, writer.done))
        for item_id in sorted(changed):
            log.warning("%s: the source file or segment has changed since it was extracted; it is done again.", item_id)
        todo = [item for item in items if item.id not in writer.done or item.id in changed]
        log.info(
            "%d items: %d to do, %d finished before.%s",
            len(items),
            len(todo),
            len(items) - len(todo),
            ignored_files(listing),
        )
        device_plan = DevicePlan(
            extractor=arguments,
            options=DecodeOptions(sampling, geometry, config.decode_threads, config.timeout),
            batch_size=config.batch_size,
            workers=config.workers or default_workers(devices),
            threads=config.threads or (max(1, torch.get_num_threads() // len(devices)) if len(devices) > 1 else None),
        )
        with Progress(len(todo)) as progress, interrupt.deferred():
            recorder = Recorder(
                writer,
                {item.id: item for item in todo},
                run_attrs=run_attributes(devices, extractor),
                strict=config.strict,
                progress=progress,
            )

            def idle() -> None:
                interrupt.check()
                writer.tick()

            if todo and len(devices) == 1:
                run_one(extractor, device_plan, todo, recorder, idle)
            elif todo:
                run_many(devices, device_plan, todo, recorder, idle)
        writer.close()
    except BaseException:
        writer.stop()
        raise
    failures = sorted(recorder.failures, key=lambda failure: failure.id)
    write_failures(output, failures)
    return ExtractSummary(
        output,
        len(items),
        len(items) - len(todo),
        dict(recorder.states),
        recorder.frames,
        time.monotonic() - started,
        failures,
    )


def run_attributes(devices: list[str], extractor: Any) -> dict[str, str]:
    """Facts of this run that may differ between the items of one file without changing what they mean."""
    import av
    import torch
    import torchvision

    device = ",".join(devices)
    if any(name.startswith("cuda") for name in devices):
        device = f"{device} ({torch.cuda.get_device_name(0)})"
    versions = (
        f"vidfeat {__version__}, torch {torch.__version__}, torchvision {torchvision.__version__}, av {av.__version__}"
    )
    return {"device": device, "versions": f"{versions}, python {platform.python_version()}"}


def write_failures(output: Path, failures: list[Failure]) -> None:
    """``OUT.failures.csv``: id, state, reason. Removed when nothing failed."""
    path = failures_path(output)
    if not failures:
        path.unlink(missing_ok=True)
        return
    rows = [[failure.id, failure.state, failure.reason] for failure in failures]
    write_csv(path, ["id", "state", "reason"], rows)


def failures_path(output: Path) -> Path:
    return output.with_name(output.name + ".failures.csv")
