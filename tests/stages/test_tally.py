"""What became of every item, counted, said and shown."""

import logging

from vidfeat.progress import Progress
from vidfeat.stages.failures import Failure
from vidfeat.stages.tally import Tally


def test_states_frames_and_failures_reach_caller_log_and_progress(caplog):
    progress = Progress(4, enabled=False)
    tally = Tally(progress)
    tally.add_frames(5)
    tally.add_frames(2)
    with caplog.at_level(logging.WARNING):
        tally.keep("a", "done", "")
        tally.keep("b", "truncated", "cut off at 3 s")
        tally.fail("c", "failed", "is text")
        tally.fail("d", "empty", "has no frame")
    assert caplog.messages == ["b is truncated and kept: cut off at 3 s", "c failed: is text", "d empty: has no frame"]
    assert tally.states == {"done": 1, "truncated": 1, "failed": 1, "empty": 1} == progress.states
    assert tally.frames == progress.frames == 7
    assert tally.failures == [Failure("c", "failed", "is text"), Failure("d", "empty", "has no frame")]
    assert [item_id for item_id in "abcd" if tally.lost(item_id)] == ["c", "d"]
