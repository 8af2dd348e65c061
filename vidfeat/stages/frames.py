"""``vidfeat frames``: sampled frames of videos as pictures, a folder of them for each video, and a manifest of all."""

import logging
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidfeat import interrupt
from vidfeat.crew import torch_threads
from vidfeat.datasets.items import Item
from vidfeat.datasets.listing import list_items
from vidfeat.datasets.manifest import write_manifest
from vidfeat.errors import UsageError
from vidfeat.media.transforms import Geometry
from vidfeat.progress import Progress
from vidfeat.report.dynamic_image import png
from vidfeat.stages.config.frame_folders import FrameFoldersConfig
from vidfeat.stages.decoding import CHUNK_FRAMES, Chunk, DecodeOptions, Decoders, item_source
from vidfeat.stages.devices import cores_per_device
from vidfeat.stages.events import Failed, Finished
from vidfeat.stages.failures import write_failures
from vidfeat.stages.places import NewFolder, check_replaceable, places_of
from vidfeat.stages.request import ignored_files, sampling_of, whole_frames
from vidfeat.stages.summary import Summary
from vidfeat.stages.tally import KEPT, Tally
from vidfeat.store import fs
from vidfeat.words import counted

log = logging.getLogger("vidfeat")

MANIFEST = "frames.csv"
_OWN = re.compile(r"\d{6,}\.png")


@dataclass(frozen=True)
class PngView:
    """The whole frame, resized, as the bytes of a PNG file."""

    geometry: Geometry

    def __call__(self, image: np.ndarray) -> bytes:
        return png(self.geometry.resized(image).movedim(0, -1).contiguous().numpy())


def run(config: FrameFoldersConfig) -> Summary:
    """Write a folder of pictures of every item that can be read, and the manifest when all are done.

    UsageError before any work for bad input; StorageError if something cannot be written. Folders that were finished
    stay in both cases and after a signal.
    """
    started = time.monotonic()
    options = DecodeOptions(sampling_of(config), PngView(whole_frames(config.sides)), timeout=config.timeout)
    listing = list_items(config.inputs)
    places = places_of(config.inputs, config.output, listing.items, "", "folder")
    _check_output(config, places)
    log.info("%s.%s", counted(len(places), "item"), ignored_files(listing))
    manifest = config.output / MANIFEST
    with fs.writing(manifest):
        manifest.unlink(missing_ok=True)  # what it lists is about to change
    workers = min(len(places), cores_per_device(["cpu"]))
    with (
        interrupt.deferred(),
        Progress(len(places)) as progress,
        torch_threads(1),  # every decoder resizes and packs its own frames
        Decoders(item_source(listing.items), options, workers, workers * CHUNK_FRAMES) as decoders,
    ):
        tally = Tally(progress)
        writer = _Writer(places, tally)
        try:
            for entry in decoders.entries(interrupt.check):
                writer(entry)
        finally:
            writer.abandon()
            write_failures(config.output, tally.failures)
    if writer.counts:
        write_manifest(manifest, _frames_of(config.output, {i: places[i] for i in sorted(writer.counts)}))
    return Summary(
        {
            "output": str(config.output),
            "manifest": str(manifest) if writer.counts else None,
            "items": len(places),
            "pictures": [
                {"id": i, "folder": str(places[i]), "frames": writer.counts[i]} for i in sorted(writer.counts)
            ],
            **tally.as_dict(time.monotonic() - started),
        },
        exit_code=tally.exit_code,
    )


def _check_output(config: FrameFoldersConfig, places: Mapping[str, Path]) -> None:
    folder = config.output
    if folder.is_dir() and any(folder.iterdir()) and not config.overwrite:
        raise UsageError(f"{folder} exists already. Choose another folder, or --overwrite to replace its pictures.")
    for place in places.values():
        check_replaceable(place, _OWN)


def _frames_of(root: Path, places: Mapping[str, Path]) -> Iterator[Item]:
    """All pictures in these folders: the label and the group of each is what it is a frame of."""
    for place in places.values():
        name = place.relative_to(root).as_posix()
        for path in sorted(place.iterdir()):
            yield Item(f"{name}/{path.name}", path, labels=(name.strip(),), group=name)


class _Writer:
    """Takes what the decoders give, and fills a folder for each item; ``counts`` are the frames of finished ones."""

    def __init__(self, places: Mapping[str, Path], tally: Tally) -> None:
        self._places, self._tally = places, tally
        self._open: dict[str, tuple[NewFolder, int]] = {}
        self.counts: dict[str, int] = {}

    def __call__(self, entry: Chunk | Finished | Failed) -> None:
        if self._tally.lost(entry.item_id):
            return
        match entry:
            case Chunk():
                self._add(entry)
            case Finished() if entry.state in KEPT:
                folder, count = self._open[entry.item_id]
                folder.publish()
                del self._open[entry.item_id]
                self.counts[entry.item_id] = count
                self._tally.keep(entry.item_id, entry.state, entry.reason)
            case Finished():
                self._fail(entry.item_id, entry.state, entry.reason)
            case Failed():
                self._fail(entry.item_id, "failed", entry.reason)

    def abandon(self) -> None:
        """Leave nothing half-written behind."""
        while self._open:
            self._open.popitem()[1][0].abandon()

    def _add(self, chunk: Chunk) -> None:
        folder, count = self._open.get(chunk.item_id) or (NewFolder(self._places[chunk.item_id], _OWN), 0)
        self._open[chunk.item_id] = folder, count + len(chunk.frames)
        for frame, picture in zip(chunk.frames, chunk.pixels, strict=True):
            folder.write(f"{frame:06d}.png", picture)
        self._tally.add_frames(len(chunk.frames))

    def _fail(self, item_id: str, state: str, reason: str) -> None:
        if item_id in self._open:
            self._open.pop(item_id)[0].abandon()
        self._tally.fail(item_id, state, reason)
