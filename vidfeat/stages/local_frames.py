"""Frames of items, warped to the network's square, with the local features of all asked layers, in bounded memory."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vidfeat import interrupt
from vidfeat.datasets.items import Item
from vidfeat.encoders.local import as_rows
from vidfeat.errors import UsageError
from vidfeat.features import Layer
from vidfeat.media import kind
from vidfeat.media.sampling import Sampling
from vidfeat.media.transforms import Geometry
from vidfeat.pooling.normalise import l2_normalise
from vidfeat.report.patches import Grid
from vidfeat.stages.computers import Computers
from vidfeat.stages.config.patches import LocalOptions
from vidfeat.stages.decoding import Decoders, item_source
from vidfeat.stages.devices import cores_per_device, default_workers, resolve_devices
from vidfeat.stages.events import Event, Failed, Finished, Rows
from vidfeat.stages.pipeline import taker
from vidfeat.stages.recipe import DevicePlan, Recipe
from vidfeat.stages.tally import KEPT, Tally
from vidfeat.words import counted

_AHEAD = 16  # frames that decoders may be ahead


@dataclass(frozen=True)
class LocalFrame:
    """A picture as the network saw it, and its local features.

    Attributes:
        item: that it is a frame of.
        source: the file itself, whatever it is called in a list: what comes from it is not compared with itself.
        frame: index in the stream.
        seconds: its time.
        pixels: ``[n, n, 3]`` uint8 RGB.
        features: for each layer ``[cells, C]`` float32, each row of norm 1.
    """

    item: Item
    source: Path
    frame: int
    seconds: float
    pixels: np.ndarray
    features: dict[str, np.ndarray]

    @property
    def when(self) -> list[str]:
        """The time of a frame of a video; nothing for an image."""
        return [] if kind(self.item.path) == "image" else [f"{self.seconds:.2f} s"]

    @property
    def name(self) -> str:
        """The item's id, and of a video the time."""
        return ", ".join([self.item.id, *self.when])

    @property
    def place(self) -> dict[str, str | int | float]:
        """Where it comes from, for a summary."""
        return {"id": self.item.id, "frame": self.frame, "time": round(self.seconds, 6)}


def cell_features(maps: np.ndarray) -> np.ndarray:
    """``[N, C, h, w]`` -> ``[N, h·w, C]`` float32: the cells row after row, each of L2 norm 1; zeros stay zeros."""
    return l2_normalise(as_rows(torch.from_numpy(maps)).to(torch.float32).contiguous()).numpy()


def most_frames(items: Sequence[Item], frames: int) -> int:
    """How many pictures there are at most, with so many frames of each video."""
    return sum(1 if kind(item.path) == "image" else frames for item in items)


def sources_of(items: Sequence[Item]) -> dict[str, Path]:
    """The file behind every id."""
    return {item.id: item.path.resolve() for item in items}


class LocalFrames:
    """The network of a run, and what reads frames for it.

    Attributes:
        device: that the network is on.
        layers: with the shape of their maps.
        size: side of the pictures.

    Raises:
        UsageError: what is asked for does not exist, or a layer gives no maps.
    """

    def __init__(self, config: LocalOptions, device: str) -> None:
        self._config, self.device = config, device
        network = {
            "backbone": config.backbone,
            "layers": config.layer_names,
            "weights": config.weights,
            "size": config.size,
            "dtype": "float32",
        }
        self._recipe, self._threads = Recipe(rgb=network), cores_per_device([device])
        self._computers = Computers(self._recipe, device, self._threads)
        self.layers, self._spec = self._computers.rgb.layers, self._computers.rgb.input_spec
        self.size = self._spec.size
        for layer in self.layers:
            if len(layer.shape) != 3:
                raise UsageError(
                    f"--layer {layer.name} of {config.backbone} gives {'×'.join(map(str, layer.shape))} numbers for a "
                    "picture, which have no places in it. Choose a layer that gives C×H×W; 'vidfeat layers "
                    f"{config.backbone}' lists shapes."
                )

    def grid(self, layer: Layer) -> Grid:
        """The cells of a layer's maps."""
        return Grid(self.size, *layer.shape[1:])

    def check_memory(self, *groups: tuple[Sequence[Item], int]) -> None:
        """UsageError if so many frames of all these items might take more memory than allowed."""
        count = sum(most_frames(items, frames) for items, frames in groups)
        items = [item for group, _ in groups for item in group]
        videos = any(kind(item.path) == "video" for item in items)
        needed = count * (3 * self.size**2 + sum(4 * math.prod(layer.shape) for layer in self.layers)) / 1e9
        if needed > self._config.memory:
            frames = f"lower --frames, which is {self._config.frames}, " if videos else "lower --size, "
            raise UsageError(
                f"Up to {counted(count, 'picture')} of {counted(len(items), 'item')} with "
                f"{', '.join(layer.name for layer in self.layers)} take {needed:.3g} GB, more than the "
                f"{self._config.memory:g} GB of --memory; {frames}name fewer layers or inputs, or raise --memory."
            )

    def read(self, items: Sequence[Item], frames: int, tally: Tally) -> list[LocalFrame]:
        """So many frames of every video, and all images, in the order of ``items``; the tally has what failed."""
        geometry = Geometry(
            "warp", None, self.size, interpolation=self._spec.interpolation, antialias=self._spec.antialias
        )
        plan = DevicePlan(
            self._recipe, geometry, Sampling(num_frames=frames),
            workers=max(1, min(len(items), default_workers([self.device]))), threads=self._threads,
            batch_size=self._config.batch_size, timeout=self._config.timeout,
        )  # fmt: skip
        collector = _Collector(items, tally)
        with (
            Decoders(item_source(items), plan.decoding, plan.workers, _AHEAD) as decoders,
            taker(self._computers, plan, collector) as network,
        ):
            for entry in decoders.entries(interrupt.check):
                if isinstance(entry, Finished | Failed):
                    network.end(entry)
                    continue
                for frame, seconds, pixels in zip(entry.frames, entry.times, entry.pixels, strict=True):
                    collector.keep_pixels(entry.item_id, pixels.movedim(0, -1).numpy())
                    network.add(entry.item_id, frame, seconds, pixels)
            network.flush()
        return [frame for item in items for frame in collector.done.get(item.id, [])]


class _Collector:
    """Brings features and pixels of a frame together again; ``done`` has the frames of items that have ended well."""

    def __init__(self, items: Sequence[Item], tally: Tally) -> None:
        self._items, self._sources = {item.id: item for item in items}, sources_of(items)
        self._tally = tally
        self._pixels: dict[str, deque[np.ndarray]] = {}
        self._open: dict[str, list[LocalFrame]] = {item.id: [] for item in items}
        self.done: dict[str, list[LocalFrame]] = {}

    def keep_pixels(self, item_id: str, pixels: np.ndarray) -> None:
        """Of the next frame of an item, until its features are there."""
        self._pixels.setdefault(item_id, deque()).append(pixels)

    def __call__(self, event: Event) -> None:
        frames = self._open.get(event.item_id)
        if frames is None:  # it has failed, but more of it was under way
            return
        match event:
            case Rows():
                self._add(event, frames)
            case Finished() if event.state in KEPT and frames:
                self.done[event.item_id] = self._close(event.item_id)
                self._tally.keep(event.item_id, event.state, event.reason)
            case Finished():
                self._fail(event.item_id, event.state, event.reason)
            case Failed():
                self._fail(event.item_id, "failed", event.reason)

    def _add(self, rows: Rows, frames: list[LocalFrame]) -> None:
        for name, maps in rows.features.items():
            if not np.isfinite(maps).all():
                self._fail(rows.item_id, "failed", f"{name} has values that are not finite")
                return
        features = {name: cell_features(maps) for name, maps in rows.features.items()}
        item, source = self._items[rows.item_id], self._sources[rows.item_id]
        for number, (frame, seconds) in enumerate(zip(rows.frames.tolist(), rows.times.tolist(), strict=True)):
            pixels = self._pixels[rows.item_id].popleft()
            own = {name: cells[number] for name, cells in features.items()}
            frames.append(LocalFrame(item, source, frame, seconds, pixels, own))
        self._tally.add_frames(len(rows.times))

    def _close(self, item_id: str) -> list[LocalFrame]:
        self._pixels.pop(item_id, None)
        return self._open.pop(item_id)

    def _fail(self, item_id: str, state: str, reason: str) -> None:
        self._close(item_id)
        self._tally.fail(item_id, state, reason)


def single_device(spec: str) -> str:
    """The one device of a look at a few pictures; UsageError if several were named."""
    devices = resolve_devices(spec)
    if len(devices) > 1 and spec != "auto":
        raise UsageError(f"--device {spec} names several devices; name one, as this is a look at a few pictures.")
    return devices[0]
