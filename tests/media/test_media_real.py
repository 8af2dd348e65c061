"""The real clips: as many frames as a plain demux-and-decode counts, at increasing times; segments; sampling."""

import csv
from itertools import pairwise

import av
import numpy as np
import pytest

from tests.videos import cut_in_half
from vidfeat.errors import ItemError
from vidfeat.media.sampling import Sampling
from vidfeat.media.video import VideoReader

FILES = [
    "arm_wrestling_340x256.mp4",
    "av1_video.mkv",
    "h264_10bits.mp4",
    "mpeg4_320x240.avi",
    "nasa_13013.mp4",
    "v_GGSY1Qvo990.mp4",
]


def plain_count(path) -> int:
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.thread_count = 1
        return sum(len(packet.decode()) for packet in container.demux(stream))


@pytest.mark.parametrize("name", FILES)
def test_frames_of_every_real_file(real_videos, name):
    with VideoReader(real_videos / name) as reader:
        stamps = [(frame.index, frame.time) for frame in reader.frames()]
        assert reader.complaint() == ""
    assert [index for index, _ in stamps] == list(range(plain_count(real_videos / name)))
    assert all(a < b for (_, a), (_, b) in pairwise(stamps))


def test_the_list_above_is_complete(real_videos):
    assert {path.name for path in real_videos.iterdir()} == {*FILES, "audio_only.mp3"}


def test_shuffled_stamps_of_a_real_avi_give_an_even_clock(real_videos):
    with VideoReader(real_videos / "mpeg4_320x240.avi") as reader:
        times = [frame.time for frame in reader.frames()]
    assert len(times) == 164
    assert np.allclose(np.diff(times), 0.04, atol=1e-9)


def test_the_larger_of_two_streams(real_videos):
    with VideoReader(real_videos / "nasa_13013.mp4") as reader:
        assert (reader.info.stream_index, reader.info.width, reader.info.height) == (3, 480, 270)


def test_a_file_without_a_count(real_videos):
    with VideoReader(real_videos / "av1_video.mkv") as reader:
        assert reader.info.frames_expected is None
        assert len(list(reader.frames(Sampling(num_frames=5)))) == 5


def test_segments_of_real_recordings_equal_a_plain_pass(real_actions):
    with (real_actions / "segments.csv").open() as file:
        rows = list(csv.DictReader(file))
    name = rows[0]["path"]
    segments = [(float(row["start"]), float(row["end"])) for row in rows if row["path"] == name]
    assert len(segments) > 3
    with VideoReader(real_actions / name) as reader:
        whole = {frame.index: (frame.time, int(frame.image.sum())) for frame in reader.frames()}
    for start, end in segments:
        with VideoReader(real_actions / name) as reader:
            got = {frame.index: (frame.time, int(frame.image.sum())) for frame in reader.frames(Sampling(), start, end)}
        assert got == {index: value for index, value in whole.items() if start - 1e-6 <= value[0] < end - 1e-6}
        assert len(got) == pytest.approx((end - start) * 25, abs=1)


def test_audio_alone(real_videos):
    with pytest.raises(ItemError, match="has no video stream; it has audio mp3float"):
        VideoReader(real_videos / "audio_only.mp3")


HALVES = {
    "arm_wrestling_340x256.mp4": "cannot be opened as a video",
    "h264_10bits.mp4": "cannot be opened as a video",
    "nasa_13013.mp4": "cannot be opened as a video",
    "audio_only.mp3": "has no video stream",
    "av1_video.mkv": "the video ends after 1.4 of 5.0 s",
    "mpeg4_320x240.avi": "77 of 164 frames could be read",
    "v_GGSY1Qvo990.mp4": "177 of 355 frames could be read",  # its index stands at the front
}


@pytest.mark.parametrize("name", HALVES)
def test_the_first_half_of_every_real_file(real_videos, tmp_path, name):
    path = cut_in_half(real_videos / name, tmp_path / name)
    try:
        with VideoReader(path) as reader:
            assert len(list(reader.frames())) == reader.decoded > 0
            words = reader.complaint()
    except ItemError as error:
        words = str(error)
    assert HALVES[name] in words
