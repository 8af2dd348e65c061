"""Fields of flow to what a network sees of them, and the two streams of one item brought together."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from vidfeat.flow.stacks import flip_flow
from vidfeat.media.transforms import Geometry
from vidfeat.stages.batches import Batcher
from vidfeat.stages.events import Event, Failed, Finished, Rows
from vidfeat.stages.fields import FLOW
from vidfeat.stages.tally import KEPT


@dataclass
class _Tail:
    """Fields of one item that later stacks need, the first of them field number ``first``; ``begun``: stacks so far."""

    fields: np.ndarray
    frames: np.ndarray
    times: np.ndarray
    first: int = 0
    begun: int = 0


class Stacker:
    """Takes the events of ``FlowFields``, and gives stacks of ``length`` consecutive fields to a batcher.

    Stack k holds the fields from k·stride on, and has the time and the frame of the first of them. Fields are in one
    piece of memory, x before y, so that a stack is a view of them: channels x1, y1, x2, y2, …
    """

    def __init__(self, batcher: Batcher, geometry: Geometry, length: int, stride: int) -> None:
        self._batcher, self._geometry, self._length, self._stride = batcher, geometry, length, stride
        self._tails: dict[str, _Tail] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case Rows():
                self._add(event)
            case Finished():
                tail = self._tails.pop(event.item_id, None)
                if event.state in KEPT and not (tail and tail.begun):
                    count = tail.first + len(tail.fields) if tail else 0
                    reason = f"{count} fields of flow are fewer than a stack of {self._length} (--flow-stack)"
                    event = replace(event, state="empty", reason=reason)
                self._batcher.end(event)
            case Failed():
                self._tails.pop(event.item_id, None)
                self._batcher.end(event)

    def _add(self, rows: Rows) -> None:
        tail = self._tails.get(rows.item_id)
        new = (rows.features[FLOW], rows.frames, rows.times)
        if tail is None:
            tail = self._tails[rows.item_id] = _Tail(*new)
        else:
            old = (tail.fields, tail.frames, tail.times)
            tail.fields, tail.frames, tail.times = (np.concatenate(pair) for pair in zip(old, new, strict=True))
        while (start := tail.begun * self._stride - tail.first) + self._length <= len(tail.fields):
            stack = tail.fields[start : start + self._length]
            pixels = self._geometry.cropped(torch.from_numpy(stack.reshape(-1, *stack.shape[2:])), flip_flow)
            self._batcher.add(rows.item_id, int(tail.frames[start]), float(tail.times[start]), pixels)
            tail.begun += 1
        # What no later stack needs; with a stride longer than a stack all of it.
        gone = min(start, len(tail.fields))
        tail.fields, tail.frames, tail.times = tail.fields[gone:], tail.frames[gone:], tail.times[gone:]
        tail.first += gone


class JoinedEndings:
    """Passes the events of several streams of the same items on, but one ending per item: after the last stream's.

    An item without rows in one of them is without a result.
    """

    def __init__(self, streams: int, emit: Callable[[Event], None]) -> None:
        self._streams, self._emit = streams, emit
        self._ended: dict[str, list[Finished]] = {}

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Finished):
            if isinstance(event, Failed):  # for all streams: what comes after it is void
                self._ended.pop(event.item_id, None)
            self._emit(event)
            return
        endings = self._ended.setdefault(event.item_id, [])
        endings.append(event)
        if len(endings) == self._streams:
            del self._ended[event.item_id]
            self._emit(next((ending for ending in endings if ending.state not in KEPT), endings[0]))
