"""Progress lines with a fake clock; the bar on a fake terminal."""

import io
import subprocess
import sys

import pytest

from vidfeat import progress
from vidfeat.progress import Progress, set_enabled, write_message


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    return Clock()


def test_one_line_a_minute(clock):
    stream = io.StringIO()
    with Progress(10, stream=stream, clock=clock) as shown:
        for second in range(1, 131):
            clock.now = 1000.0 + second
            shown.add_frames(10)
            if second % 30 == 0:
                shown.item_done("failed" if second == 30 else "done")
    assert stream.getvalue().splitlines() == [
        # At second 60 the frames come first, so the item that ends then is in the next line.
        "0 done, 1 failed, 10 items in total, 10.0 frames/s, time left 0:09:00",
        "2 done, 1 failed, 10 items in total, 10.0 frames/s, time left 0:04:40",
        "3 done, 1 failed, 10 items in total, 10.0 frames/s, time left 0:03:15",
    ]


def test_a_short_run_writes_nothing(clock):
    stream = io.StringIO()
    with Progress(2, stream=stream, clock=clock) as shown:
        clock.now += 59
        shown.item_done()
        shown.item_done("empty")
    assert stream.getvalue() == ""
    assert shown.states == {"done": 1, "empty": 1}


def test_line_without_frames_or_items(clock):
    shown = Progress(3, unit="codes", stream=io.StringIO(), clock=clock)
    clock.now += 5
    assert shown.line() == "0 done, 0 failed, 3 codes in total, time left unknown"
    for state in ("done", "truncated", "empty"):
        shown.item_done(state)
    assert shown.line() == "2 done, 1 failed, 3 codes in total, time left 0:00:00"


def test_rows_of_other_names(clock):
    shown = Progress(3, rows="fields", stream=io.StringIO(), clock=clock)
    clock.now += 5
    shown.add_frames(10)
    assert "2.0 fields/s" in shown.line()


def test_quiet(clock):
    for stream in (io.StringIO(), Terminal()):
        with Progress(2, enabled=False, stream=stream, clock=clock) as shown:
            clock.now += 300
            shown.item_done()
            shown.add_frames(3)
        assert stream.getvalue() == "" and shown.frames == 3
        shown.message("still said")
        assert stream.getvalue() == "still said\n"


def test_quiet_for_the_whole_process(clock):
    stream = io.StringIO()
    set_enabled(False)
    try:
        with Progress(2, stream=stream, clock=clock) as shown:
            clock.now += 300
            shown.item_done()
    finally:
        set_enabled(True)
    assert stream.getvalue() == ""


def test_nothing_to_do_shows_no_bar():
    stream = Terminal()
    with Progress(0, stream=stream):
        pass
    assert stream.getvalue() == ""


def test_bar_and_messages_on_a_terminal():
    stream = Terminal()
    with Progress(4, stream=stream) as shown:
        shown.add_frames(100)
        shown.item_done("failed")
        shown.message("one message")
        write_message("another", stream)
        for _ in range(3):
            shown.item_done()
    text = stream.getvalue()
    assert "4/4" in text and "1 failed" in text and "frames/s" in text and text.endswith("\n")
    # Each message stands alone on its line: the bar is wiped before it.
    assert "\rone message\n" in text and "\ranother\n" in text
    assert progress._Shared.bar is None
    write_message("after", stream)
    assert stream.getvalue().endswith("\nafter\n")


def test_bar_ends_when_the_run_stops():
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt), Progress(4, stream=stream):
        raise KeyboardInterrupt
    assert progress._Shared.bar is None


def test_import_is_cheap():
    code = "import sys, vidfeat.progress; sys.exit('tqdm' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
