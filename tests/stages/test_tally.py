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
    assert tally.as_dict(2.0004) == {
        "done": 1,
        "truncated": 1,
        "empty": 1,
        "failed": 1,
        "frames": 7,
        "seconds": 2.0,
        "frames_per_second": 3.499,
        "failures": [
            {"id": "c", "state": "failed", "reason": "is text"},
            {"id": "d", "state": "empty", "reason": "has no frame"},
        ],
    }
    assert tally.exit_code == 1
    assert [item_id for item_id in "abcd" if tally.lost(item_id)] == ["c", "d"]


def test_a_run_that_has_nothing_to_do_counts_its_own_rows():
    tally = Tally(Progress(0, enabled=False, rows="fields"))
    facts = tally.as_dict(0.0)
    assert (facts["fields"], facts["fields_per_second"], facts["done"], facts["failures"]) == (0, None, 0, [])
    assert tally.exit_code == 0
