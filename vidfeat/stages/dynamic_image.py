"""``vidfeat report dynamic-image``: every video as one still picture of its motion (or one for each window).

Source: H. Bilen, B. Fernando, E. Gavves, A. Vedaldi, S. Gould, *Dynamic Image Networks for Action Recognition*, 2016.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidfeat import interrupt
from vidfeat.crew import torch_threads
from vidfeat.datasets.listing import list_items
from vidfeat.errors import ItemError
from vidfeat.progress import Progress
from vidfeat.report.dynamic_image import DynamicImages, contact_sheet, png
from vidfeat.stages.config.report import DynamicImageConfig
from vidfeat.stages.decoding import CHUNK_FRAMES, Chunk, DecodeOptions, Decoders, item_source
from vidfeat.stages.devices import cores_per_device
from vidfeat.stages.events import Failed, Finished
from vidfeat.stages.failures import write_failures
from vidfeat.stages.places import places_of
from vidfeat.stages.request import ignored_files, sampling_of, whole_frames
from vidfeat.stages.summary import Summary
from vidfeat.stages.tally import KEPT, Tally
from vidfeat.store import fs, write_bytes
from vidfeat.words import counted

log = logging.getLogger("vidfeat")

# One thread adds up frames about as fast as they are decoded; every decoder more is a video more in memory.
MAX_DECODERS = 4


def run(config: DynamicImageConfig) -> Summary:
    """Write one PNG for every item that can be read.

    UsageError before any work for bad input; StorageError if a picture cannot be written. Pictures already written
    stay in both cases and after a signal.
    """
    started = time.monotonic()
    options = DecodeOptions(sampling_of(config), whole_frames(config.sides), timeout=config.timeout)
    listing = list_items(config.inputs)
    places = places_of(config.inputs, config.output, listing.items, ".png", "picture")
    log.info("%s.%s", counted(len(places), "item"), ignored_files(listing))
    workers = min(len(places), cores_per_device(["cpu"]), MAX_DECODERS)
    with (
        interrupt.deferred(),
        Progress(len(places)) as progress,
        torch_threads(1),  # decoding has the other cores, and pieces this small gain nothing from more
        Decoders(item_source(listing.items), options, workers, workers * CHUNK_FRAMES) as decoders,
    ):
        tally = Tally(progress)
        painter = _Painter(places, config.window, config.hop or config.window, tally)
        try:
            for entry in decoders.entries(interrupt.check):
                painter(entry)
        finally:
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


class _Painter:
    """Takes what the decoders give, and writes the picture of every item that has ended well."""

    def __init__(self, places: Mapping[str, Path], window: int | None, hop: int | None, tally: Tally) -> None:
        self._places, self._window, self._hop, self._tally = places, window, hop, tally
        self._open: dict[str, DynamicImages] = {}
        self.pictures: list[dict[str, Any]] = []

    def __call__(self, entry: Chunk | Finished | Failed) -> None:
        if self._tally.lost(entry.item_id):
            return
        try:
            match entry:
                case Chunk():
                    self._add(entry)
                case Finished():
                    self._finish(entry)
                case Failed():
                    self._fail(entry.item_id, "failed", entry.reason)
        except ItemError as error:
            self._fail(entry.item_id, "failed", str(error))

    def _add(self, chunk: Chunk) -> None:
        windows = self._open.setdefault(chunk.item_id, DynamicImages(self._window, self._hop))
        for seconds, pixels in zip(chunk.times, chunk.pixels, strict=True):
            windows.add(seconds, pixels.movedim(0, -1))
        self._tally.add_frames(len(chunk.frames))

    def _finish(self, end: Finished) -> None:
        windows = self._open.pop(end.item_id, None)
        if end.state not in KEPT or windows is None:
            self._fail(end.item_id, end.state, end.reason)
            return
        if windows.count == 1:
            log.warning("%s has one frame, and so no motion: its dynamic image is plain grey.", end.item_id)
        place, dynamic = self._places[end.item_id], windows.finish()
        with fs.writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, png(contact_sheet([image.picture for image in dynamic])))
        self.pictures.append(
            {
                "id": end.item_id,
                "picture": str(place),
                "frames": windows.count,
                "windows": [[round(image.first, 6), round(image.last, 6)] for image in dynamic],
            }
        )
        self._tally.keep(end.item_id, end.state, end.reason)

    def _fail(self, item_id: str, state: str, reason: str) -> None:
        self._open.pop(item_id, None)
        self._tally.fail(item_id, state, reason)
