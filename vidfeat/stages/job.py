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
from vidfeat.stages.tally import KEPT, Tally
from vidfeat.store import FeatureWriter
from vidfeat.words import counted

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
    """What a run did. ``skipped`` items were finished by an earlier run; the tally has those of this one."""

    output: Path
    items: int
    skipped: int
    tally: Tally
    seconds: float

    @property
    def states(self) -> dict[str, int]:
        """How many items came to each state."""
        return dict(self.tally.states)

    @property
    def count(self) -> int:
        """Rows that were computed."""
        return self.tally.frames

    @property
    def failures(self) -> list[Failure]:
        """Items without a result."""
        return self.tally.failures

    @property
    def kept(self) -> int:
        """Items whose results are in the file."""
        return self.skipped + sum(self.tally.states[state] for state in KEPT)

    @property
    def exit_code(self) -> int:
        return self.tally.exit_code

    def as_dict(self) -> dict[str, Any]:
        return {
            "output": str(self.output),
            "items": self.items,
            "skipped": self.skipped,
            **self.tally.as_dict(self.seconds),
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
        log.info("%s: %d to do, %d finished before.%s", counted(len(items), "item"), len(todo), finished, ignored)
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
        tally=tally,
        seconds=time.monotonic() - started,
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
