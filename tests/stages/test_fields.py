"""Pieces of frames and their fields, with a method that is plain arithmetic: next frame minus this one."""

import itertools
import weakref
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from vidfeat.errors import ItemError
from vidfeat.stages.events import Failed, Finished, Rows
from vidfeat.stages.fields import FlowFields

SHAPE = (2, 3)


def differences(pieces) -> list:
    """What ``FlowComputer`` does: one array for all, of which the steps from piece to piece are thrown away."""
    frames = np.stack([picture for piece in pieces for picture in piece]).astype(np.int64)
    steps = np.repeat(np.diff(frames, axis=0)[:, None], 2, axis=1)
    starts = np.cumsum([0, *(len(piece) for piece in pieces)])
    return [steps[start : stop - 1] for start, stop in itertools.pairwise(starts)]


def done(value) -> Future:
    future = Future()
    future.set_result(value)
    return future


class Run:
    """``FlowFields`` whose calls and events are kept."""

    def __init__(self, pairs=3, join=False, compute=differences, depth=4) -> None:
        self.calls, self.events = [], []

        def start(pieces):
            self.calls.append([len(piece) for piece in pieces])
            try:
                return done(compute(pieces))
            except ItemError as error:
                failed = Future()
                failed.set_exception(error)
                return failed

        self.fields = FlowFields(start, depth, self.events.append, pairs=lambda shape: pairs, join=join)

    def frames(self, item_id, values, first=0, shape=SHAPE) -> None:
        for k, value in enumerate(values, first):
            self.fields.add(item_id, k, k / 10, np.full(shape, value, np.uint8))

    def end(self, item_id, state="done", reason="") -> None:
        self.fields.end(Finished(item_id, state, reason, {}))

    def of(self, item_id) -> tuple[list[int], list[int], list[float]]:
        """Fields (by their number), frames and times of an item's rows."""
        rows = [event for event in self.events if isinstance(event, Rows) and event.item_id == item_id]
        assert all(event.stream == "flow." and list(event.features) == ["flow"] for event in rows)
        steps = [int(field[0, 0, 0]) for event in rows for field in event.features["flow"]]
        return steps, [k for event in rows for k in event.frames], [t for event in rows for t in event.times]

    def endings(self) -> dict[str, tuple[str, str]]:
        return {
            event.item_id: ("failed" if isinstance(event, Failed) else event.state, event.reason)
            for event in self.events
            if not isinstance(event, Rows)
        }


VALUES = [3, 5, 9, 9, 1, 40, 42]
STEPS = np.diff(VALUES).tolist()


@pytest.mark.parametrize("join", [False, True])
@pytest.mark.parametrize("pairs", [1, 2, 3, 6, 100])
def test_fields_of_interleaved_items(pairs, join):
    run = Run(pairs, join)
    for k, value in enumerate(VALUES):
        run.frames("a", [value], k)
        run.frames("b", [value + 1], k)
    run.end("b")
    run.end("a", "truncated", "cut")
    run.fields.flush()
    for item_id in "ab":
        assert run.of(item_id) == (STEPS, list(range(6)), [k / 10 for k in range(6)])
    assert run.endings() == {"b": ("done", ""), "a": ("truncated", "cut")}
    assert isinstance(run.events[-1], Finished)
    assert all(length - 1 <= pairs for call in run.calls for length in call)


def test_rests_of_items_share_a_call_only_if_that_is_wanted():
    calls = {}
    for join in (False, True):
        run = Run(pairs=4, join=join)
        for item_id in "abc":
            run.frames(item_id, VALUES)
            run.end(item_id)
        run.fields.flush()
        assert {item_id: run.of(item_id)[0] for item_id in "abc"} == dict.fromkeys("abc", STEPS)
        calls[join] = run.calls
    assert calls[False] == [[5], [3]] * 3
    assert calls[True] == [[5], [5], [3, 3], [5], [3]]


def test_rests_of_another_size_get_a_call_of_their_own():
    run = Run(pairs=10, join=True)
    for item_id, shape in (("a", (2, 3)), ("b", (4, 4)), ("c", (4, 4))):
        run.frames(item_id, VALUES, shape=shape)
        run.end(item_id)
    run.fields.flush()
    assert run.calls == [[7], [7, 7]]
    assert list(run.endings()) == ["a", "b", "c"]


@pytest.mark.parametrize("join", [False, True])
def test_one_frame_has_no_flow(join):
    run = Run(join=join)
    run.frames("one", [1])
    run.end("one", "truncated", "cut")
    run.end("none", "empty", "the video has no frame")
    run.frames("whole", VALUES[:4])  # three pairs: a piece that is full when the item ends
    run.end("whole")
    run.fields.end(Failed("bad", "no such file"))
    run.fields.flush()
    assert run.endings() == {
        "one": ("empty", "one frame has no flow; cut"),
        "none": ("empty", "the video has no frame"),
        "whole": ("done", ""),
        "bad": ("failed", "no such file"),
    }
    assert run.of("whole")[0] == STEPS[:3]


def test_a_change_of_size_fails_the_item_only():
    run = Run(pairs=2)
    run.frames("a", VALUES)
    run.frames("b", VALUES[:2])
    run.frames("b", VALUES[2:], first=2, shape=(5, 4))
    run.end("b")
    run.end("a")
    run.frames("b", VALUES)  # the id means nothing any more, and may come again
    run.end("b")
    run.fields.flush()
    failed = [event for event in run.events if isinstance(event, Failed)]
    assert len(failed) == 1
    assert "change from 3x2 to 4x5 at 0.200 s" in failed[0].reason and "--size WxH" in failed[0].reason
    assert run.of("a")[0] == STEPS
    assert run.calls.count([3]) == 6


def test_errors_of_a_call_and_of_a_piece():
    def compute(pieces):
        if pieces[0][0].shape == (1, 1):
            raise ItemError("too small")
        return [ItemError("not finite") if piece[0][0, 0] == 13 else fields
                for piece, fields in zip(pieces, differences(pieces), strict=True)]  # fmt: skip

    run = Run(pairs=20, join=True, compute=compute)
    for item_id, values, shape in [
        ("a", VALUES, SHAPE), ("b", [13, 1], SHAPE), ("c", VALUES, SHAPE), ("d", [1, 2], (1, 1)), ("e", [1, 2], (1, 1)),
    ]:  # fmt: skip
        run.frames(item_id, values, shape=shape)
        run.end(item_id)
    run.fields.flush()
    assert run.calls == [[7, 2, 7], [2, 2]]
    failed = {event.item_id: event.reason for event in run.events if isinstance(event, Failed)}
    assert failed == {"b": "not finite", "d": "too small", "e": "too small"}
    assert run.of("a")[0] == run.of("c")[0] == STEPS


def test_memory_does_not_grow_with_the_length_of_an_item():
    alive: set[int] = set()
    most = 0
    with ThreadPoolExecutor(2) as pool:
        fields = FlowFields(
            lambda pieces: pool.submit(differences, pieces), 5, lambda event: None, pairs=lambda shape: 3
        )
        for k in range(600):
            picture = np.zeros(SHAPE, np.uint8)
            alive.add(k)
            weakref.finalize(picture, alive.discard, k)
            fields.add("a", k, k / 10, picture)
            del picture
            most = max(most, len(alive))
        fields.flush()
    assert most <= 5 * 4 + 4 + 3
