"""One video into the cache of decoded frames: pixels, fields of flow, or both, in one pass over the file."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidfeat.datasets.items import Item
from vidfeat.errors import ItemError
from vidfeat.flow.methods import find_method
from vidfeat.media.sampling import Sampling
from vidfeat.media.stream import ChildStream, DecoderChild, ItemStream
from vidfeat.media.transforms import Geometry
from vidfeat.stages.computers import FlowComputer
from vidfeat.stages.recipe import FlowRecipe
from vidfeat.stages.views import FlowView
from vidfeat.store.frames_cache import CachedItem, CacheWriter, FramesCache

RGB, FLOW, TIMES = "rgb", "flow", "times"


@dataclass(frozen=True)
class DecodePlan:
    """How every video is decoded; plain values that can be sent to another process.

    Attributes:
        folder: of the cache.
        settings: all that the cached bytes depend on.
        sampling: which frames.
        geometry: how a frame is resized; the whole of it is kept, so that crops can be drawn later.
        streams: ``rgb`` and ``flow``, or one of them.
        flow: how flow is found, in 8 bits; None without that stream.
        fields: least number of fields that a video must have.
        device: that flow is computed on.
        timeout: seconds for a video; decodes in a child that can be killed.
    """

    folder: Path
    settings: dict[str, Any]
    sampling: Sampling
    geometry: Geometry
    streams: tuple[str, ...] = (RGB,)
    flow: FlowRecipe | None = None
    fields: int = 1
    device: str = "cpu"
    timeout: float | None = None


class Decoder:
    """Puts one video after another into the cache. Not for several threads at once; call ``close`` in the end."""

    def __init__(self, plan: DecodePlan) -> None:
        self._plan = plan
        self._cache = FramesCache(plan.folder, plan.settings)
        self._child = DecoderChild() if plan.timeout is not None else None
        self._flow = FlowComputer(plan.flow, plan.device, 1) if plan.flow is not None else None

    def __call__(self, item: Item) -> str:
        """Why the video is truncated; empty if it is whole. Frames that are there already are left alone.

        Raises:
            ItemError: it cannot be decoded, has no frame, or too few for its flow.
            StorageError: the cache cannot be written.
        """
        source = source_of(item)
        there = self._cache.read(item.id, source)
        if there is not None:
            return there.reason
        with self._cache.write(item.id, source) as writer, self._stream(item) as stream:
            try:
                for piece, first in self._pieces(stream, writer):
                    self._store(writer, piece, first)
                outcome = stream.outcome()
            except MemoryError:
                raise
            except (ItemError, OSError) as error:
                raise ItemError(str(error)) from error
            if outcome.state == "empty":
                raise ItemError(outcome.reason or "no frame could be decoded")
            if self._flow is not None and (count := writer.rows(FLOW)) < self._plan.fields:
                raise ItemError(
                    f"{count} fields of flow are fewer than the stack of {self._plan.fields} (--flow-stack)"
                )
            writer.finish(outcome.state, outcome.reason)
            return outcome.reason

    def close(self) -> None:
        if self._child is not None:
            self._child.close()

    def _stream(self, item: Item) -> ItemStream | ChildStream:
        plan = self._plan
        given = {"start": item.start, "end": item.end, "sampling": plan.sampling, "geometry": plan.geometry.resized}
        if self._child is None:
            return ItemStream(item.path, **given)
        return ChildStream(item.path, child=self._child, timeout=plan.timeout, **given)

    def _pieces(
        self, stream: ItemStream | ChildStream, writer: CacheWriter
    ) -> Iterator[tuple[list[torch.Tensor], int]]:
        """Frames ``[3, h, w]`` in lists, and which of each is the first new one: with flow, a list begins with the last
        frame of the one before. Where and when frames are is stored on the way."""
        piece: list[torch.Tensor] = []
        shape, first = None, 0
        for index, seconds, pixels in stream:
            writer.add(TIMES, np.array([[index, seconds]], "<f8").view(np.uint8))
            if shape is not None and pixels.shape != shape:
                raise ItemError(
                    f"the frames change from {_size(shape)} to {_size(pixels.shape)} at {seconds:.3f} s; --warp makes "
                    "them equal"
                )
            shape = pixels.shape
            piece.append(pixels)
            if len(piece) > (self._flow.pairs(tuple(shape[1:])) if self._flow else 15):
                yield piece, first
                piece, first = (piece[-1:], 1) if self._flow else ([], 0)
        if len(piece) > first:
            yield piece, first

    def _store(self, writer: CacheWriter, piece: list[torch.Tensor], first: int) -> None:
        if RGB in self._plan.streams:
            pixels = torch.stack([frame.movedim(0, -1) for frame in piece[first:]])
            writer.add(RGB, pixels.numpy())
        if self._flow is not None and len(piece) > 1:
            view = FlowView(self._plan.geometry, find_method(self._plan.flow.method).wants)
            (fields,) = self._flow([[view.picture(frame) for frame in piece]])
            if isinstance(fields, ItemError):
                raise fields
            writer.add(FLOW, fields)


def source_of(item: Item) -> list[Any]:
    """What tells whether the frames of an item are still those of its file."""
    size, changed = 0, 0.0
    with contextlib.suppress(OSError):
        status = item.path.stat()
        size, changed = status.st_size, status.st_mtime
    return [size, changed, item.start, item.end]


def cached(cache: FramesCache, item: Item) -> CachedItem | None:
    """The item's frames, if they are there."""
    return cache.read(item.id, source_of(item))


def times_of(item: CachedItem) -> tuple[np.ndarray, np.ndarray]:
    """Index in the stream, int64 ``[T]``, and time in seconds, float64 ``[T]``, of every cached frame."""
    both = np.ascontiguousarray(item.arrays[TIMES]).view("<f8")
    return both[:, 0].astype(np.int64), both[:, 1].astype(np.float64)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[2]}x{shape[1]}"
