"""The entry for extraction, in this process and in a child: same frames, same outcomes, and a child that misbehaves."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.videos import cut_in_half, write_video
from vidfeat.errors import ItemError, UsageError
from vidfeat.media import wire
from vidfeat.media.sampling import Sampling
from vidfeat.media.stream import ChildStream, DecoderChild, ItemStream
from vidfeat.media.transforms import Geometry

SMALL = Geometry("crop", 40, 32)


@pytest.fixture(scope="module")
def child():
    with DecoderChild() as child:
        yield child


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", 200, gop=20)


def open_both(path, child, **options):
    yield ItemStream(path, geometry=SMALL, **options)
    yield ChildStream(path, child=child, timeout=30, geometry=SMALL, **options)


CASES = [
    {},
    {"sampling": Sampling(fps=6)},
    {"start": 5.0, "end": 6.5},
    {"sampling": Sampling(num_frames=7), "threads": 2},
]


@pytest.mark.parametrize("options", CASES)
def test_child_and_parent_read_the_same(clip, child, options):
    (here, here_source, here_end), (there, there_source, there_end) = (
        (list(stream), stream.source, stream.outcome()) for stream in open_both(clip, child, **options)
    )
    assert [row[:2] for row in here] == [row[:2] for row in there]
    assert all(torch.equal(a[2], b[2]) for a, b in zip(here, there, strict=True))
    assert here_source == there_source
    assert here_end == there_end
    assert here_end.state == "done"
    assert here[0][2].shape == (3, 32, 32)


def test_what_a_stream_says_of_a_video_a_segment_and_an_image(clip, tmp_path):
    with ItemStream(clip, geometry=SMALL) as stream:
        assert stream.source == {"width": 64, "height": 48, "rotation": 0, "fps": 25.0, "frames_expected": 200}
    with ItemStream(clip, geometry=SMALL, start=1.0, end=2.0) as stream:
        assert stream.source["frames_expected"] is None
        assert [index for index, _, _ in stream] == list(range(25, 50))
        assert stream.outcome().frames_decoded == 25
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 4 2 255 " + bytes(range(24)))
    with ItemStream(path, geometry=Geometry("keep", None, None)) as stream:
        ((index, at, pixels),) = stream
        assert (index, at, stream.outcome().state, stream.outcome().frames_decoded) == (0, 0.0, "done", 1)
        assert torch.equal(pixels.permute(1, 2, 0).flatten(), torch.arange(24, dtype=torch.uint8))
        assert stream.source["width"] == 4
        assert math.isnan(stream.source["fps"])
    with pytest.raises(ItemError, match="is an image, which has no segments"):
        ItemStream(path, geometry=SMALL, start=0.0, end=1.0)


def test_a_segment_behind_the_end_is_empty(clip, child):
    for stream in open_both(clip, child, start=60.0, end=70.0):
        assert list(stream) == []
        assert (stream.outcome().state, stream.outcome().reason) == ("empty", "the segment has no frame")


def test_a_video_without_frames_is_empty(tmp_path):
    path = write_video(tmp_path / "a.avi", 0, codec="mpeg4")
    with ItemStream(path, geometry=SMALL) as stream:
        assert list(stream) == []
        assert stream.outcome().state == "empty"


def test_a_damaged_packet_costs_its_frames_and_not_the_rest(tmp_path, child):
    whole = write_video(tmp_path / "a.avi", 60, codec="mjpeg", pixel_format="yuvj420p")
    data = bytearray(whole.read_bytes())
    starts = [i for i in range(len(data) - 3) if data[i : i + 3] == b"\xff\xd8\xff"]
    for start, following in pairwise(starts[20:24]):
        data[start : following - 8] = bytes(following - 8 - start)  # all but the next chunk's header
    (tmp_path / "b.avi").write_bytes(data)
    for stream in open_both(tmp_path / "b.avi", child):
        frames = list(stream)
        outcome = stream.outcome()
        assert 55 <= len(frames) <= 58
        assert frames[-1][1] > 2.3  # the end was reached
        assert outcome.state == "truncated"
        assert "3 decode errors, first at packet 21: invalid data" in outcome.reason
        assert "57 of 60 frames could be read" in outcome.reason


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_half_a_file_is_truncated(tmp_path, suffix):
    half = cut_in_half(
        write_video(tmp_path / f"a{suffix}", 100, width=320, height=240, codec="mpeg4"), tmp_path / f"half{suffix}"
    )
    with ItemStream(half, geometry=SMALL) as stream:
        assert 30 < len(list(stream)) < 70
        assert stream.outcome().state == "truncated"
        assert "could be read" in stream.outcome().reason or "the video ends after" in stream.outcome().reason


def battery(folder):
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("#EXTM3U\nhttp://localhost/never\n" * 20)
    (folder / "noise.mkv").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "a.doc").write_text("a text of another kind\n" * 20)
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    cut_in_half(write_video(folder / "a.mp4", 30), folder / "half.mp4")
    return {
        "empty.mp4": "is a file of 0 bytes",
        "text.mp4": "cannot be opened as a video: invalid data",
        "noise.mkv": "cannot be opened as a video: invalid data",
        "folder.mp4": "is a directory, not a video file",
        "pipe.mp4": "is a device or a pipe, not a file",
        "missing.mp4": "does not exist",
        "half.mp4": "cannot be opened as a video: invalid data .* a cut mp4 loses its index",
        "a.doc": "cannot be opened as a video: invalid data",
    }


def test_corrupt_files_are_item_errors_in_words(tmp_path, child):
    for name, words in battery(tmp_path).items():
        with pytest.raises(ItemError, match=words):
            ItemStream(tmp_path / name, geometry=SMALL)
        with pytest.raises(ItemError, match=words):
            ChildStream(tmp_path / name, child=child, timeout=30, geometry=SMALL)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(clip, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(clip.read_bytes())
    path.chmod(0)
    with pytest.raises(ItemError, match="may not be read by this user"):
        ItemStream(path, geometry=SMALL)


def test_a_child_is_used_again_and_replaced_after_a_kill(clip):
    with DecoderChild() as child:
        assert child.pid is None
        options = {"child": child, "timeout": 30, "geometry": SMALL, "sampling": Sampling(stride=50)}
        assert len(list(ChildStream(clip, **options))) == 4
        first = child.pid
        assert len(list(ChildStream(clip, **options))) == 4
        assert child.pid == first
        with ChildStream(clip, **{**options, "sampling": Sampling()}) as stream:
            next(iter(stream))  # given up halfway: the child would go on sending
        assert len(list(ChildStream(clip, **options))) == 4
        assert child.pid != first
        last = child.pid
    assert gone(last)


def gone(pid: int, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_a_child_that_hangs_is_killed_after_the_timeout(clip):
    with DecoderChild() as child:
        list(ChildStream(clip, child=child, timeout=30, geometry=SMALL, sampling=Sampling(num_frames=1)))
        hanging = child.pid
        os.kill(hanging, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(
            ItemError, match=r"clip.mp4': timeout after 0.3 s of waiting for the decoder, which was killed"
        ):
            ChildStream(clip, child=child, timeout=0.3, geometry=SMALL)
        assert 0.3 <= time.monotonic() - began < 5
        assert gone(hanging)
        assert (
            len(list(ChildStream(clip, child=child, timeout=30, geometry=SMALL, sampling=Sampling(num_frames=3)))) == 3
        )


@pytest.mark.parametrize("signum", [signal.SIGSEGV, signal.SIGKILL])
def test_a_child_that_dies_costs_its_item_only(clip, signum):
    big = Geometry("keep", None, None)
    with DecoderChild() as child:
        stream = iter(ChildStream(clip, child=child, timeout=30, geometry=big))
        next(stream)
        os.kill(child.pid, signal.SIGSTOP)
        os.kill(child.pid, signum)
        os.kill(child.pid, signal.SIGCONT)
        with pytest.raises(ItemError, match=f"clip.mp4': the decoder process died of {signum.name}"):
            list(stream)
        assert (
            len(list(ChildStream(clip, child=child, timeout=30, geometry=SMALL, sampling=Sampling(num_frames=3)))) == 3
        )


def test_a_slow_consumer_does_not_use_up_the_time(clip, child):
    stream = ChildStream(clip, child=child, timeout=2.0, geometry=SMALL, sampling=Sampling(num_frames=3))
    for _ in stream:
        time.sleep(0.8)
    assert stream.outcome().state == "done"


def test_refused_timeout(clip, child):
    with pytest.raises(UsageError, match="timeout is 0; it must be a number of seconds above 0"):
        ChildStream(clip, child=child, timeout=0, geometry=SMALL)


ORPHAN = """
import sys, time
{patch}
from vidfeat.media.child import DecoderChild
child = DecoderChild()
frames = child.open(sys.argv[1], timeout=60)
if {begin}: next(iter(frames))
print(child.pid, flush=True)
time.sleep(60)
"""
HANG = """
import vidfeat.media.child as c
c._START = "import sys, json, time; sys.path[:] = json.loads(sys.argv[1]); import vidfeat.media.child_main as m; " \\
    "from vidfeat.media import wire; " \\
    "m._serve = lambda r, w: (wire.send_object(w, ('source', {})), time.sleep(60)); m.main()"
"""


@pytest.mark.parametrize(
    ("patch", "begin"), [("", False), ("", True), (HANG, False)], ids=["idle", "sending", "hanging"]
)
def test_no_orphan_after_kill_9(tmp_path, patch, begin):
    clip = write_video(tmp_path / "a.mp4", 60, width=320, height=240)
    code = ORPHAN.format(patch=patch, begin=begin)
    parent = subprocess.Popen([sys.executable, "-c", code, str(clip)], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(pid)


def test_the_child_ignores_signals_that_are_for_the_parent(clip, child):
    stream = ChildStream(clip, child=child, timeout=30, geometry=SMALL)
    frames = iter(stream)
    next(frames)
    os.kill(child.pid, signal.SIGINT)
    os.kill(child.pid, signal.SIGTERM)
    assert len(list(frames)) == 199


def test_the_child_imports_no_torch():
    code = (
        "import sys, vidfeat.media.child_main, vidfeat.media.video, vidfeat.media.image; print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_streams_in_threads_give_what_they_give_alone(clip):
    def sums(out):
        with ItemStream(clip, geometry=SMALL) as stream:
            out.append([(index, at, int(pixels.sum())) for index, at, pixels in stream])

    alone, together = [], []
    sums(alone)
    threads = [threading.Thread(target=sums, args=(together,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone * 4


def test_messages_of_any_size_cross_a_pipe():
    read, write = os.pipe()
    image = np.random.default_rng(0).integers(0, 256, (300, 500, 3), np.uint8)

    def send():
        wire.send_object(write, {"a": [1, None]})
        wire.send_frame(write, 7, 1.25, image)
        os.close(write)

    sender = threading.Thread(target=send)
    sender.start()
    assert wire.receive(read) == {"a": [1, None]}
    index, at, got = wire.receive(read)
    assert (index, at) == (7, 1.25)
    assert np.array_equal(got, image)
    with pytest.raises(EOFError):
        wire.receive(read)
    sender.join()
    os.close(read)
