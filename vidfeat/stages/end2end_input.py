"""Batches of videos for training and prediction, from the cache of decoded frames or from a features file."""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from vidfeat import interrupt
from vidfeat.datasets.items import Item
from vidfeat.errors import ItemError, UsageError
from vidfeat.stages.end2end_clips import CENTRE, Crop, FlowClip, RgbClip, View, drawn_view
from vidfeat.stages.end2end_decode import FLOW, RGB
from vidfeat.stages.end2end_supply import Supply
from vidfeat.stages.failures import Failure
from vidfeat.store import FeatureFile
from vidfeat.training import StoredVectors, VideoBatch, World, epoch_plan, share

_AHEAD = 2  # batches that are made ready while the network works on one
_TOGETHER = 4  # videos of a batch outside training
_KEPT_BYTES = 4 << 30  # of stored frame vectors, or what is kept of them, which are read only once up to here

T = TypeVar("T")


class Source(Protocol):
    """Clips of a video by stream, or why there are none."""

    @property
    def failures(self) -> Mapping[str, Failure]: ...

    @property
    def streams(self) -> Sequence[str]: ...

    def clips(self, item: Item, view: View) -> dict[str, Any] | Failure: ...

    def expect(self, ids: Sequence[str]) -> None:
        """These will be asked for, in this order."""


@dataclass(frozen=True)
class PixelSource:
    """Decoded frames and flow.

    Attributes:
        supply: of cached videos.
        crops: stream -> what its network takes.
        stack, stride: of flow fields.
    """

    supply: Supply
    crops: Mapping[str, Crop]
    stack: int = 10
    stride: int = 1

    @property
    def failures(self) -> Mapping[str, Failure]:
        return self.supply.failures

    @property
    def streams(self) -> Sequence[str]:
        return list(self.crops)

    def expect(self, ids: Sequence[str]) -> None:
        self.supply.expect(ids)

    def clips(self, item: Item, view: View) -> dict[str, Any] | Failure:
        there = self.supply.get(item.id)
        if isinstance(there, Failure):
            return there
        found: dict[str, Any] = {}
        for name, crop in self.crops.items():
            if name == RGB:
                found[name] = RgbClip(there.arrays[RGB], crop, view)
            else:
                found[name] = FlowClip(there.arrays[FLOW], crop, view, self.stack, self.stride)
        if not all(len(clip) for clip in found.values()):
            reason = f"its fields of flow are fewer than a stack of {self.stack} (--flow-stack)"
            self.supply.failures[item.id] = Failure(item.id, "failed", reason)
            return self.supply.failures[item.id]
        return found


class FeatureSource:
    """Stored frame vectors ``[T, D]``.

    Args:
        file: features.
        names: stream -> dataset.
    """

    def __init__(self, file: FeatureFile, names: Mapping[str, str]) -> None:
        self._file, self._names = file, names
        self._kept: dict[str, dict[str, StoredVectors]] = {}
        self._room = _KEPT_BYTES
        self._counting, self._reading = threading.Lock(), threading.Lock()
        self.failures: dict[str, Failure] = {}
        self.streams = list(names)

    def expect(self, ids: Sequence[str]) -> None:
        """Nothing to prepare."""

    def clips(self, item: Item, view: View) -> dict[str, Any] | Failure:
        if item.id in self._kept:
            return self._kept[item.id]
        if item.id in self.failures:
            return self.failures[item.id]
        try:
            found = {
                name: StoredVectors(partial(self._read, item.id, dataset), partial(self._freed, item.id))
                for name, dataset in self._names.items()
            }
        except ItemError as error:
            self.failures[item.id] = Failure(item.id, "failed", str(error))
            return self.failures[item.id]
        with self._counting:
            size = sum(clip.nbytes for clip in found.values())
            if size <= self._room:
                self._room -= size
                self._kept[item.id] = found
        return found

    def _freed(self, item_id: str, size: int) -> None:
        """A video takes less memory than before."""
        with self._counting:
            self._room += size if item_id in self._kept else 0

    def _read(self, item_id: str, dataset: str) -> Tensor:
        if item_id not in self._file:
            raise ItemError(f"it is not in {self._file.path}")
        with self._reading:
            item = self._file[item_id]
            if dataset not in item:
                raise ItemError(f"it has no {dataset} in {self._file.path}")
            rows = np.asarray(item[dataset], np.float32)
        if rows.ndim != 2 or not len(rows):
            raise ItemError(f"its {dataset} has shape {list(rows.shape)}; frame vectors [T, D] are needed (--map-pool)")
        if not np.isfinite(rows).all():
            raise ItemError(f"its {dataset} has values that are NaN or infinite")
        return torch.tensor(rows)  # a copy where torch aligns it: where data lies can change the last bit of a product


@dataclass(frozen=True)
class Batches:
    """Batches of one list of items.

    Attributes:
        source: of their clips.
        items: numbered by their places.
        targets: of all of them, or None.
        world: the processes that share every batch.
        batch: videos of a training step.
        seed: of order and views.
        view: (epoch, id) -> View in training.
    """

    source: Source
    items: Sequence[Item]
    targets: Tensor | None
    world: World
    batch: int = 1
    seed: int = 0
    view: Callable[[int, str], View] = lambda epoch, item: CENTRE

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return len(self._plan(0))

    def expect_epoch(self, epoch: int) -> None:
        """Let the source prepare this process's videos in the order of an epoch."""
        self.source.expect([self.items[number].id for step in self._plan(epoch) for number in self._own(step)])

    def expect_all(self) -> None:
        """Let the source prepare this process's part of all videos."""
        self.source.expect([self.items[number].id for number in self._part()])

    def train(self, epoch: int, first: int) -> Iterator[VideoBatch]:
        """This process's videos of the steps of an epoch from ``first`` on."""
        steps = self._plan(epoch)[first:]
        return ahead(self._made(self._own(step), lambda item: self.view(epoch, item)) for step in steps)

    def in_order(self) -> Iterator[VideoBatch]:
        """This process's part of all videos, as they are at prediction."""
        own = self._part()
        self.expect_all()
        groups = [own[start : start + _TOGETHER] for start in range(0, len(own), _TOGETHER)]
        return ahead(self._made(group, lambda item: CENTRE) for group in groups)

    def _plan(self, epoch: int) -> list[list[int]]:
        return epoch_plan(len(self.items), self.batch, self.seed, epoch)

    def _part(self) -> list[int]:
        return list(range(len(self.items)))[self.world.rank :: self.world.size]

    def _own(self, step: Sequence[int]) -> list[int]:
        return share(step, self.world.rank, self.world.size)

    def _made(self, numbers: Sequence[int], view: Callable[[str], View]) -> VideoBatch:
        kept: list[int] = []
        failed: list[tuple[str, str]] = []
        found: list[dict[str, Any]] = []
        for number in numbers:
            item = self.items[number]
            clips = self.source.clips(item, view(item.id))
            if isinstance(clips, Failure):
                failed.append((item.id, clips.reason))
            else:
                kept.append(number)
                found.append(clips)
        streams = {name: [clips[name] for clips in found] for name in self.source.streams}
        targets = None if self.targets is None else self.targets[kept]
        return VideoBatch([self.items[number].id for number in kept], kept, streams, targets, failed)


def augmented(seed: int, smallest: float, flip: bool) -> Callable[[int, str], View]:
    """(epoch, id) -> the view of that video in that epoch."""
    return lambda epoch, item: drawn_view(seed, epoch, item, smallest, flip)


def ahead(values: Iterator[T], depth: int = _AHEAD) -> Iterator[T]:
    """The same values, made in a thread of their own, ``depth`` at most before they are asked for."""
    ready: queue.Queue[Any] = queue.Queue(depth)
    stop, end = threading.Event(), object()

    def put(value: Any) -> None:
        while not stop.is_set():
            try:
                return ready.put(value, timeout=0.2)
            except queue.Full:
                continue
        return None

    def work() -> None:
        try:
            for value in values:
                put((value, None))
                if stop.is_set():
                    return
            put((end, None))
        except BaseException as error:  # raised again where the values are taken
            put((end, error))

    thread = threading.Thread(target=work, daemon=True, name="batches")
    thread.start()
    try:
        while True:
            try:
                value, error = ready.get(timeout=0.2)
            except queue.Empty:
                interrupt.check()
                continue
            if error is not None:
                raise error
            if value is end:
                return
            yield value
    finally:
        stop.set()


def feature_names(file: FeatureFile, wanted: str | None) -> dict[str, tuple[str, int]]:
    """Stream -> (dataset, D) of stored frame vectors; ``wanted`` may name one of each stream, joined by a comma.

    UsageError for a feature that is not there, or is no vector.
    """
    if not len(file):
        raise UsageError(f"{file.path} has no items. Extract at least one with 'vidfeat extract'.")
    first = file[next(iter(file))]
    if wanted is None and len(first.names) != 1:
        raise UsageError(f"{file.path} has the features {', '.join(first.names)}; choose one with --feature.")
    names = [name.strip() for name in wanted.split(",")] if wanted else first.names
    found: dict[str, tuple[str, int]] = {}
    for name in names:
        if name not in first:
            raise UsageError(f"{file.path} has no feature {name!r}; it has {', '.join(first.names)}.")
        shape = first.shape(name)
        if len(shape) != 2:
            raise UsageError(
                f"--feature {name} is stored as {list(shape)}; frame vectors [T, D] are needed: 'vidfeat extract "
                "--map-pool avg' makes them of maps."
            )
        stream = FLOW if name.startswith("flow.") else RGB
        if stream in found:
            raise UsageError(f"--feature {wanted} names two features of one stream; give one of each.")
        found[stream] = (name, shape[1])
    return found
