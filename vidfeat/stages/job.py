"""One run over the items of a request, from decoders to a features file: what extract and flow have in common."""

import logging
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import av
import torch

from vidfeat import __version__, interrupt
from vidfeat.datasets.items import Item
from vidfeat.media.image import OPENCV
from vidfeat.progress import Progress
from vidfeat.stages.computers import Computers
from vidfeat.stages.config.running import RunOptions
from vidfeat.stages.devices import run_many, run_one
from vidfeat.stages.failures import Failure, write_failures
from vidfeat.stages.recipe import DevicePlan
from vidfeat.stages.recorder import Recorder, unfinished
from vidfeat.stages.request import Request, ignored_files, shard_of
from vidfeat.stages.tally import KEPT, STATES, Tally
from vidfeat.store import FeatureWriter

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class Job:
    """What is to be written.

    Attributes:
        plan: what is computed, and how.
        settings: all that determines the numbers: items whose settings are equal may lie in one file.
        run: what the file remembers of the run besides.
        notes: attributes of datasets, by name.
        rows: ``frames`` or ``fields``: what is counted.
        counted: the stream of the rows that are counted.
    """

    plan: DevicePlan
    settings: Mapping[str, Any]
    run: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rows: str = "frames"
    counted: str = ""


@dataclass(frozen=True)
class JobSummary:
    """What a run did. ``skipped`` items were finished by an earlier run; ``count`` rows were computed."""

    output: Path
    items: int
    skipped: int
    states: Mapping[str, int]
    rows: str
    count: int
    seconds: float
    failures: list[Failure] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Items whose results are in the file."""
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
            self.rows: self.count,
            "seconds": round(self.seconds, 3),
            f"{self.rows}_per_second": round(self.count / self.seconds, 3) if self.seconds > 0 else None,
            "failures": [vars(failure) for failure in self.failures],
        }


def fill(
    config: RunOptions, request: Request, job: Job, computers: Computers, devices: Sequence[str], started: float
) -> JobSummary:
    """Do every item of the request that is not finished yet; ``computers`` are those of the first device.

    Raises UsageError before any work if the output holds something else, and StorageError if it cannot be written;
    finished items are kept in both cases and after a signal.
    """
    writer = FeatureWriter(
        request.output,
        job.settings,
        {**job.run, "shard": shard_of(config), "vidfeat": __version__},
        compression=config.compression,
        overwrite=config.overwrite,
        merge=not config.no_merge,
    )
    items = request.items
    try:
        todo = unfinished(items, writer.done, strict=config.strict)
        finished = len(items) - len(todo)
        ignored = ignored_files(request.listing)
        log.info("%d items: %d to do, %d finished before.%s", len(items), len(todo), finished, ignored)
        with interrupt.deferred(), Progress(len(todo), rows=job.rows) as progress:
            tally = Tally(progress)
            recorder = Recorder(
                writer, todo, run_attrs=versions(), strict=config.strict, tally=tally, notes=job.notes,
                counted=job.counted,
            )  # fmt: skip
            try:
                _compute(computers, devices, job.plan, todo, recorder, writer)
            finally:
                writer.flush()
                write_failures(request.output, tally.failures)
        writer.close()
    except BaseException:
        writer.stop()
        raise
    return JobSummary(
        output=request.output,
        items=len(items),
        skipped=finished,
        states=dict(tally.states),
        rows=job.rows,
        count=tally.frames,
        seconds=time.monotonic() - started,
        failures=tally.failures,
    )


def _compute(
    computers: Computers,
    devices: Sequence[str],
    plan: DevicePlan,
    todo: Sequence[Item],
    recorder: Recorder,
    writer: FeatureWriter,
) -> None:
    def idle() -> None:
        interrupt.check()
        writer.tick()

    if todo and len(devices) == 1:
        run_one(computers, plan, todo, recorder, idle)
    elif todo:
        run_many(devices, plan, todo, recorder, idle)


def versions() -> dict[str, str]:
    """Facts of this run that may differ between the items of one file without changing what they mean."""
    # Not of the module itself: torchvision takes seconds to import, and may not be needed.
    torchvision = metadata.version("torchvision")
    packages = f"torch {torch.__version__}, torchvision {torchvision}, av {av.__version__}, opencv {OPENCV}"
    return {"versions": f"vidfeat {__version__}, {packages}, python {platform.python_version()}"}
