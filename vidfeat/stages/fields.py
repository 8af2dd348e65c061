"""Frames to fields of flow: pieces of consecutive frames that are computed side by side, and their fields in order.

Pair k is the frames k and k + 1 of an item, as sampled; field k, which leads from one to the other, has the time and
the index of frame k. T frames have T − 1 fields. The last frame of a piece is also the first one of the next.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vidfeat.errors import ItemError
from vidfeat.stages.events import Event, Failed, Finished, Rows
from vidfeat.stages.tally import KEPT
from vidfeat.stages.under_way import Pending, UnderWay

STREAM = "flow."
FLOW = "flow"


@dataclass
class _Piece:
    """Consecutive frames of one item."""

    item_id: str
    frames: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)

    @property
    def pairs(self) -> int:
        return len(self.pictures) - 1

    def add(self, frame: int, time: float, picture: np.ndarray) -> None:
        self.frames.append(frame)
        self.times.append(time)
        self.pictures.append(picture)

    def following(self) -> "_Piece":
        """The next piece, which begins with the last frame of this one."""
        return _Piece(self.item_id, self.frames[-1:], self.times[-1:], self.pictures[-1:])


@dataclass
class _Unit:
    """Pieces that are computed in one call, and the items that end with them."""

    pieces: list[_Piece] = field(default_factory=list)
    endings: list[Finished | Failed] = field(default_factory=list)

    @property
    def pairs(self) -> int:
        return sum(piece.pairs for piece in self.pieces)


class FlowFields:
    """Emits the fields of every item in order, as rows of the dataset ``flow``, and then its ending.

    Args:
        start: begins the computation of several pieces, each a list of pictures; it gives for each an array
            [pairs, 2, H, W], or the ItemError that stands in its way.
        depth: calls under way.
        emit: takes the events.
        pairs: how many pairs of pictures of a shape make a piece.
        join: gather the rests of items until they are a whole piece too, instead of computing each by itself: what a
            GPU wants.
    """

    def __init__(
        self,
        start: Callable[[list[list[np.ndarray]]], Pending],
        depth: int,
        emit: Callable[[Event], None],
        *,
        pairs: Callable[[tuple[int, ...]], int],
        join: bool = False,
    ) -> None:
        self._start, self._emit, self._pairs, self._join = start, emit, pairs, join
        self._open: dict[str, _Piece] = {}
        self._begun: set[str] = set()  # open items that have a field
        self._void: set[str] = set()  # open items that have failed
        self._rests = _Unit()
        self._under_way = UnderWay(depth, self._deliver)

    def add(self, item_id: str, frame: int, time: float, picture: np.ndarray) -> None:
        """The next frame of an item. One of another size than the frame before fails the item."""
        if item_id in self._void:
            return
        piece = self._open.setdefault(item_id, _Piece(item_id))
        if piece.pictures and piece.pictures[-1].shape != picture.shape:
            self._void.add(item_id)
            del self._open[item_id]
            reason = (
                f"the frames change from {_size(piece.pictures[-1])} to {_size(picture)} at {time:.3f} s, and there is "
                "no flow between sizes. A fixed size (--size WxH; --warp for a network) makes them equal."
            )
            self._submit(_Unit(endings=[Failed(item_id, reason)]))
            return
        piece.add(frame, time, picture)
        if piece.pairs == self._pairs(picture.shape):
            self._begun.add(item_id)
            self._open[item_id] = piece.following()
            self._submit(_Unit([piece]))

    def end(self, ending: Finished | Failed) -> None:
        """The item's last frame was added before; its ending is emitted after the fields."""
        item_id = ending.item_id
        piece = self._open.pop(item_id, None)
        if item_id in self._void:
            self._void.discard(item_id)
            return
        rest = [piece] if piece is not None and piece.pairs and isinstance(ending, Finished) else []
        if isinstance(ending, Finished) and ending.state in KEPT and not rest and item_id not in self._begun:
            ending = replace(ending, state="empty", reason=_with("one frame has no flow", ending.reason))
        self._begun.discard(item_id)
        if not self._join:
            self._submit(_Unit(rest, [ending]))
            return
        if rest and self._rests.pieces and self._rests.pieces[0].pictures[0].shape != rest[0].pictures[0].shape:
            self._submit_rests()
        self._rests.pieces += rest
        self._rests.endings.append(ending)
        if not self._rests.pieces or self._rests.pairs >= self._pairs(self._rests.pieces[0].pictures[0].shape):
            self._submit_rests()

    def flush(self) -> None:
        """Emit everything."""
        self._submit_rests()
        self._under_way.flush()

    def _submit_rests(self) -> None:
        unit, self._rests = self._rests, _Unit()
        self._submit(unit)

    def _submit(self, unit: _Unit) -> None:
        pending = self._start([piece.pictures for piece in unit.pieces]) if unit.pieces else None
        for piece in unit.pieces:
            piece.pictures = []  # held by the computation alone
        self._under_way.put(pending, unit)

    def _deliver(self, outcome: Any, unit: _Unit) -> None:
        # An error of the whole call is that of a size, which all pieces share.
        outcomes = [outcome] * len(unit.pieces) if isinstance(outcome, ItemError) else outcome or []
        for piece, fields in zip(unit.pieces, outcomes, strict=True):
            if isinstance(fields, ItemError):
                self._emit(Failed(piece.item_id, str(fields)))
                continue
            frames, times = np.asarray(piece.frames[:-1], np.int64), np.asarray(piece.times[:-1], np.float64)
            self._emit(Rows(piece.item_id, frames, times, {FLOW: fields}, STREAM))
        for ending in unit.endings:
            self._emit(ending)


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _with(reason: str, other: str) -> str:
    return f"{reason}; {other}" if other else reason
