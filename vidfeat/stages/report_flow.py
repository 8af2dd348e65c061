"""``vidfeat report flow``: videos beside the colours of their optical flow, or those colours as pictures."""

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vidfeat import interrupt
from vidfeat.datasets.listing import list_items
from vidfeat.errors import UsageError
from vidfeat.progress import Progress
from vidfeat.report.dynamic_image import png
from vidfeat.report.flow import flow_picture, largest_motion, side_by_side, with_legend
from vidfeat.stages.computers import Computers
from vidfeat.stages.config.report import FlowReportConfig
from vidfeat.stages.decoding import CHUNK_FRAMES, DecodeOptions, Decoders, item_source
from vidfeat.stages.devices import cores_per_device, default_workers, device_failures
from vidfeat.stages.events import Event, Failed, Finished, Rows
from vidfeat.stages.failures import write_failures
from vidfeat.stages.fields import FLOW
from vidfeat.stages.film import Film
from vidfeat.stages.flow import flow_devices
from vidfeat.stages.pipeline import taker
from vidfeat.stages.places import NewFolder, check_free, check_replaceable, places_of
from vidfeat.stages.recipe import DevicePlan, FlowRecipe, Recipe
from vidfeat.stages.request import ignored_files, sampling_of, whole_frames
from vidfeat.stages.summary import Summary
from vidfeat.stages.tally import KEPT, Tally
from vidfeat.stages.views import BothViews, FlowView
from vidfeat.words import counted

log = logging.getLogger("vidfeat")

_SHARE, _LEAST = 0.99, 1.0  # of pixels that full colour is enough for; pixels: less is mostly noise
_FIRST_FIELDS, _FIRST_BYTES = 50, 64 << 20  # what is looked at for that
_OWN = re.compile(r"flow_\d{5,}\.png")


def run(config: FlowReportConfig) -> Summary:
    """Write a film, or a folder of pictures, of every item that can be read.

    UsageError before any work for bad input; StorageError if something cannot be written. What was finished stays in
    both cases and after a signal.
    """
    started = time.monotonic()
    flow = FlowRecipe(config.method, config.flow_settings, "float32")
    devices = flow_devices(config.device, flow)
    if len(devices) > 1 and config.device != "auto":
        raise UsageError(
            f"--device {config.device} names several devices; name one, as this is a look at a few videos."
        )
    listing = list_items(config.inputs)
    suffix, what = {"mp4": (".mp4", "film"), "png": ("", "folder")}[config.form]
    places = places_of(config.inputs, config.output, listing.items, suffix, what)
    for place in places.values():
        check_free(place, config.overwrite)
        if config.form == "png":
            check_replaceable(place, _OWN)
    log.info("%s.%s", counted(len(places), "item"), ignored_files(listing))
    threads = cores_per_device(devices[:1])
    plan = DevicePlan(
        Recipe(flow=flow), whole_frames(config.sides), sampling_of(config),
        workers=min(len(places), default_workers(devices[:1])), threads=threads, timeout=config.timeout,
    )  # fmt: skip
    with device_failures(devices[0]):
        computers = Computers(plan.recipe, devices[0], threads)
        view = BothViews(FlowView(plan.geometry, computers.flow.method.wants))
        options = DecodeOptions(plan.sampling, view, timeout=plan.timeout)
        with interrupt.deferred(), Progress(len(places), rows="fields") as progress:
            tally = Tally(progress)
            make = _Film if config.form == "mp4" else _Pictures
            painter = _Painter(lambda item_id: make(places[item_id]), config.maximum, tally)
            try:
                with (
                    Decoders(item_source(listing.items), options, plan.workers, 2 * CHUNK_FRAMES) as decoders,
                    taker(computers, plan, painter) as frames,
                ):
                    for entry in decoders.entries(interrupt.check):
                        if isinstance(entry, Finished | Failed):
                            frames.end(entry)
                            continue
                        for frame, seconds, (pixels, picture) in zip(
                            entry.frames, entry.times, entry.pixels, strict=True
                        ):
                            painter.keep_frame(entry.item_id, pixels.movedim(0, -1).numpy())
                            frames.add(entry.item_id, frame, seconds, picture)
                    frames.flush()
            finally:
                painter.abandon()
                write_failures(config.output, tally.failures)
    return Summary(
        {
            "output": str(config.output),
            "items": len(places),
            "pictures": sorted(painter.pictures, key=lambda entry: entry["id"]),
            **tally.as_dict(time.monotonic() - started),
        },
        exit_code=tally.exit_code,
    )


class _Target(Protocol):
    """Where the fields of one item go."""

    place: Path

    def add(self, seconds: float, frame: np.ndarray, field: np.ndarray, maximum: float, rate: float) -> None:
        """The next one."""

    def publish(self) -> None:
        """Finish."""

    def abandon(self) -> None:
        """Leave nothing behind."""


class _Film:
    def __init__(self, place: Path) -> None:
        self.place = place
        self._film: Film | None = None

    def add(self, seconds: float, frame: np.ndarray, field: np.ndarray, maximum: float, rate: float) -> None:
        picture = side_by_side(frame, with_legend(flow_picture(field, maximum)))
        if self._film is None:
            self._film = Film(self.place, *picture.shape[:2], rate)
        self._film.add(seconds, picture)

    def publish(self) -> None:
        self._film.publish()

    def abandon(self) -> None:
        if self._film is not None:
            self._film.abandon()


class _Pictures:
    def __init__(self, place: Path) -> None:
        self.place = place
        self._folder = NewFolder(place, _OWN)
        self._count = 0

    def add(self, seconds: float, frame: np.ndarray, field: np.ndarray, maximum: float, rate: float) -> None:
        self._folder.write(f"flow_{self._count:05d}.png", png(with_legend(flow_picture(field, maximum))))
        self._count += 1

    def publish(self) -> None:
        self._folder.publish()

    def abandon(self) -> None:
        self._folder.abandon()


class _Shown:
    """One item: frames that wait for their flow, and the first fields, as long as they decide what full colour is."""

    def __init__(self, target: _Target, maximum: float | None) -> None:
        self.target, self.maximum = target, maximum
        self.frames: deque[np.ndarray] = deque()
        self.count = 0
        self._first: list[tuple[float, np.ndarray, np.ndarray]] = []

    def add(self, seconds: float, field: np.ndarray) -> None:
        frame = self.frames.popleft()
        self.count += 1
        self._first.append((seconds, frame, field))
        if self.maximum is not None or len(self._first) == _FIRST_FIELDS or self._first_bytes > _FIRST_BYTES:
            self.draw()

    def draw(self) -> None:
        """Everything that waits."""
        if self.maximum is None:
            self.maximum = max(_LEAST, largest_motion(np.stack([field for _, _, field in self._first]), _SHARE))
        times = [seconds for seconds, _, _ in self._first]
        span = times[-1] - times[0] if times else 0.0
        rate = (len(times) - 1) / span if span > 0 else 25.0  # a hint only: every frame has its own time
        for seconds, frame, field in self._first:
            self.target.add(seconds, frame, field, self.maximum, rate)
        self._first = []

    @property
    def _first_bytes(self) -> int:
        return sum(frame.nbytes + field.nbytes for _, frame, field in self._first)


class _Painter:
    """Takes fields, and writes what is to be seen of every item that has ended well."""

    def __init__(self, make: Callable[[str], _Target], maximum: float | None, tally: Tally) -> None:
        self._make, self._maximum, self._tally = make, maximum, tally
        self._open: dict[str, _Shown] = {}
        self.pictures: list[Mapping[str, Any]] = []

    def keep_frame(self, item_id: str, frame: np.ndarray) -> None:
        """The next frame of an item, until its field comes."""
        if self._tally.lost(item_id):
            return
        if item_id not in self._open:
            self._open[item_id] = _Shown(self._make(item_id), self._maximum)
        self._open[item_id].frames.append(frame)

    def __call__(self, event: Event) -> None:
        if self._tally.lost(event.item_id):
            return
        match event:
            case Rows():
                for seconds, field in zip(event.times, event.features[FLOW], strict=True):
                    self._open[event.item_id].add(float(seconds), field)
                self._tally.add_frames(len(event.times))
            case Finished():
                self._finish(event)
            case Failed():
                self._fail(event.item_id, "failed", event.reason)

    def abandon(self) -> None:
        """Leave nothing half-written behind."""
        while self._open:
            self._open.popitem()[1].target.abandon()

    def _finish(self, end: Finished) -> None:
        if end.state not in KEPT:
            self._fail(end.item_id, end.state, end.reason)
            return
        shown = self._open[end.item_id]
        shown.draw()
        shown.target.publish()
        del self._open[end.item_id]
        self.pictures.append(
            {"id": end.item_id, "place": str(shown.target.place), "fields": shown.count, "maximum": shown.maximum}
        )
        self._tally.keep(end.item_id, end.state, end.reason)

    def _fail(self, item_id: str, state: str, reason: str) -> None:
        shown = self._open.pop(item_id, None)
        if shown is not None:
            shown.target.abandon()
        self._tally.fail(item_id, state, reason)
