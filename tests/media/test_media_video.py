"""Reading videos: frames, times, indices, segments; synthetic clips whose frames can be told apart."""

import os
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path

import av
import numpy as np
import pytest

from tests.tolerances import CODED_GREY
from tests.videos import flat_picture, grey_level, write_video
from vidfeat.errors import UsageError
from vidfeat.media.sampling import Sampling
from vidfeat.media.video import VideoReader


def read(path, sampling=Sampling(), start=None, end=None, threads=1):
    with VideoReader(path, threads=threads) as reader:
        frames = list(reader.frames(sampling, start, end))
        return frames, reader


def indices(path, *args, **kwargs):
    return [frame.index for frame in read(path, *args, **kwargs)[0]]


def same(a, b):
    return [(f.index, f.time) for f in a] == [(f.index, f.time) for f in b] and all(
        np.array_equal(f.image, g.image) for f, g in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts", ".mov"])
def test_every_frame_with_its_index_time_and_picture(tmp_path, suffix):
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    path = write_video(
        tmp_path / f"a{suffix}", 30, picture=flat_picture, codec=codec, b_frames=0 if codec == "mpeg4" else 2
    )
    frames, reader = read(path)
    assert [frame.index for frame in frames] == list(range(30))
    assert np.allclose(np.diff([frame.time for frame in frames]), 0.04, atol=1e-9)
    for frame in frames:
        assert abs(frame.image.mean() - grey_level(frame.index)) <= CODED_GREY
    assert (reader.decoded, reader.errors, reader.complaint()) == (30, [], "")
    assert (reader.info.width, reader.info.height, reader.info.fps, reader.info.rotation) == (64, 48, 25.0, 0)


def test_variable_rate_and_a_first_time_that_is_not_zero(tmp_path):
    stamps = [1500, 1540, 1580, 2580, 2600, 2640, 4000, 4040]
    path = write_video(tmp_path / "a.mkv", 8, times=stamps, time_base=Fraction(1, 1000), picture=flat_picture)
    frames, reader = read(path)
    assert [frame.time for frame in frames] == [stamp / 1000 for stamp in stamps]
    assert reader.info.first_time == 1.5
    # Segments count from the first frame's time, half-open; the index stays that of the stream.
    assert indices(path, Sampling(), 0.04, 1.08) == [1, 2]
    assert indices(path, Sampling(), 1.08, 1.081) == [3]
    assert indices(path, Sampling(max_seconds=0.08)) == [0, 1]
    assert indices(path, Sampling(max_seconds=0.5), 1.0) == [3, 4, 5]


def test_sampling_options(tmp_path):
    path = write_video(tmp_path / "a.mp4", 50)
    assert indices(path, Sampling(stride=20)) == [0, 20, 40]
    assert indices(path, Sampling(fps=5)) == list(range(0, 50, 5))
    assert indices(path, Sampling(fps=25)) == indices(path, Sampling(fps=1000)) == list(range(50))
    assert indices(path, Sampling(num_frames=5)) == [5, 15, 25, 35, 45]
    assert indices(path, Sampling(num_frames=500)) == list(range(50))
    assert indices(path, Sampling(num_frames=2), 0.4, 0.8) == [12, 17]
    assert indices(path, Sampling(num_frames=2, max_seconds=0.4), 0.4) == [12, 17]
    assert indices(path, Sampling(fps=5, max_seconds=1)) == [0, 5, 10, 15, 20]
    assert indices(path, Sampling(stride=4), 0.1, 0.5) == [3, 7, 11]
    assert indices(path, Sampling(), 1.96, None) == [49]
    assert indices(path, Sampling(), 2.0, None) == []


def test_reading_stops_early_and_is_not_called_truncated(tmp_path):
    path = write_video(tmp_path / "a.mp4", 200)
    for sampling, most in ((Sampling(max_seconds=0.4), 10), (Sampling(num_frames=1), 101)):
        frames, reader = read(path, sampling)
        assert frames
        assert reader.decoded == most
        assert reader.complaint() == ""


def test_reading_twice_gives_the_same(tmp_path):
    with VideoReader(write_video(tmp_path / "a.mp4", 20)) as reader:
        first, second = list(reader.frames()), list(reader.frames(Sampling()))
        assert same(first, second)
        assert reader.decoded == 20


def test_threads_do_not_change_frames(tmp_path):
    path = write_video(tmp_path / "a.mp4", 60, b_frames=2)
    assert same(read(path)[0], read(path, threads=2)[0])


GROUPS = {
    "closed": {"b_frames": 0},
    "b-frames": {"b_frames": 3, "options": {"preset": "fast"}},
    "open": {
        "b_frames": 3,
        "options": {"preset": "fast", "x264-params": "open-gop=1:keyint=20:min-keyint=20:scenecut=0"},
    },
    "intra-refresh": {"options": {"x264-params": "intra-refresh=1:keyint=20"}},
    "mpeg4": {"codec": "mpeg4", "b_frames": 2},
    "first time": {"times": list(range(500, 820)), "time_base": Fraction(1, 25)},
}


@pytest.mark.parametrize(
    ("name", "suffix"), [*product(GROUPS, (".mp4", ".mkv")), ("b-frames", ".ts"), ("mpeg4", ".avi")]
)
def test_a_segment_far_into_a_file_equals_reading_from_the_beginning(tmp_path, suffix, name):
    path = write_video(tmp_path / f"a{suffix}", 320, gop=20, **GROUPS[name])
    everything = read(path)[0]
    for start, end in ((9.97, 10.5), (11.2, 11.24), (12.5, None)):
        by_key = read(path, Sampling(), start, end)[0]
        assert by_key
        first = everything[0].time
        expected = [f for f in everything if start - 1e-6 <= f.time - first < (end or 1e9) - 1e-6]
        assert same(by_key, expected)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_late_segment_does_not_decode_the_whole_file(tmp_path, suffix):
    path = write_video(tmp_path / f"a{suffix}", 500, gop=25, width=32, height=32)
    with VideoReader(path) as reader:
        assert len(list(reader.frames(Sampling(), 18.0, 18.4))) == 10
        assert reader._decoder.packets < 120
        assert reader.decoded == 10


def test_a_frame_of_another_size_in_mid_stream(tmp_path):
    small = write_video(tmp_path / "small.h264", 10, width=64, height=48)
    large = write_video(tmp_path / "large.h264", 10, width=96, height=80)
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    shapes = [frame.image.shape for frame in read(both)[0]]
    assert shapes == [(48, 64, 3)] * 10 + [(80, 96, 3)] * 10


def test_streams_without_any_stamps_still_get_increasing_times(tmp_path):
    frames, _ = read(write_video(tmp_path / "a.h264", 20))
    assert len(frames) == 20
    assert all(a.time < b.time for a, b in pairwise(frames))


def test_names_that_look_like_protocols_or_options(tmp_path):
    for name in ("http:a.mp4", "-i.mp4", "a b'\"#é%.mp4", "concat:x|y.mp4"):
        path = write_video(tmp_path / "a.mp4", 3).rename(tmp_path / name)
        assert len(read(path)[0]) == 3


def test_memory_does_not_grow_with_length(tmp_path):
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def pass_over(path):
        with VideoReader(path) as reader:
            return sum(1 for _ in reader.frames())

    if not Path("/proc/self/statm").exists():
        pytest.skip("resident memory is read from Linux's /proc")
    short, long = (write_video(tmp_path / f"{n}.mp4", n, width=320, height=240, gop=50) for n in (20, 500))
    pass_over(short)
    before = resident()
    assert pass_over(long) == 500
    assert resident() - before < 32 << 20  # all frames in RGB would be 115 MB, in YUV 58 MB


def test_the_best_stream_is_ffmpegs_choice_and_never_a_cover(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=25) for _ in range(2)]
        for stream, size in zip(streams, (32, 96), strict=True):
            stream.width = stream.height = size
            stream.pix_fmt = "yuv420p"
        streams[0].disposition = av.stream.Disposition.attached_pic
        streams[1].disposition = av.stream.Disposition.default
        for index in range(5):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(flat_picture(index, stream.width, stream.height), "rgb24")
                frame.pts = index
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    with VideoReader(path) as reader:
        assert (reader.info.stream_index, reader.info.width) == (1, 96)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (-1, None, "start is -1; segments are seconds"),
        (2, 2, "ends at 2 s, which is not after its start at 2 s"),
        (0, float("nan"), "end is nan"),
    ],
)
def test_refused_segments(tmp_path, start, end, words):
    with VideoReader(write_video(tmp_path / "a.mp4", 3)) as reader, pytest.raises(UsageError, match=words):
        list(reader.frames(Sampling(), start, end))


def test_refused_threads(tmp_path):
    with pytest.raises(UsageError, match="threads is 0; it must be a whole number"):
        VideoReader(tmp_path / "a.mp4", threads=0)
