"""Sampling and clock: index and time arithmetic against plain loops, and the words of refusals."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from tests.oracles import sampling as oracle
from vidfeat.errors import UsageError
from vidfeat.media.clock import Stamp, clocked
from vidfeat.media.sampling import Sampling, by_fps, by_index, by_stride, midpoints


class Tick(NamedTuple):
    index: int
    time: float
    duration: float


def ticks(times: list[float], last_duration: float) -> list[Tick]:
    ends = [*times[1:], times[-1] + last_duration]
    return [Tick(i, t, e - t) for i, (t, e) in enumerate(zip(times, ends, strict=True))]


def kept(frames) -> list[int]:
    return [frame.index for frame in frames]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100, 355])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 16, 400])
def test_midpoints_equal_the_middles_of_equal_parts(count, n):
    assert midpoints(count, n) == oracle.midpoints(count, n)


def test_midpoints_by_hand():
    assert midpoints(10, 1) == [5]
    assert midpoints(10, 2) == [2, 7]
    assert midpoints(3, 8) == [0, 1, 2]


@pytest.mark.parametrize("rate", [25.0, 30000 / 1001, 19.62, 8.0])
@pytest.mark.parametrize("fps", [0.3, 1, 4, 6, 7.5, 8, 12.5, 20, 24.9, 25, 60])
@pytest.mark.parametrize("first", [0.0, 3.7, 86400.0])
def test_fps_at_a_constant_rate(rate, fps, first):
    times = [first + i / rate for i in range(150)]
    assert kept(by_fps(ticks(times, 1 / rate), fps, rate)) == oracle.by_fps(times, fps, rate, 1 / rate)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("fps", [0.5, 3, 6, 10, 17])
def test_fps_at_a_variable_rate(seed, fps):
    rng = np.random.default_rng(seed)
    gaps = rng.choice([0.005, 0.02, 0.04, 0.3, 1.7], size=80)
    times = list(2.5 + np.cumsum(gaps))
    rate = len(gaps) / gaps.sum()
    expected = oracle.by_fps(times, fps, rate, 0.04)
    assert kept(by_fps(ticks(times, 0.04), fps, rate)) == expected
    assert fps >= rate or len(expected) < 80  # the case is not trivial


def test_fps_by_hand():
    frames = ticks([i / 25 for i in range(25)], 0.04)
    assert kept(by_fps(frames, 5, 25.0)) == [0, 5, 10, 15, 20]
    assert kept(by_fps(frames, 6, 25.0)) == [
        0,
        4,
        8,
        13,
        17,
        21,
    ]  # 0.5 s lies between 12 and 13, within half a frame of 13
    assert kept(by_fps(frames, 25, 25.0)) == list(range(25))


def test_a_held_frame_is_given_once_and_the_next_on_time():
    frames = ticks([0.0, 0.1, 5.0], 0.1)
    assert kept(by_fps(frames, 2, 10.0)) == [0, 1, 2]


def test_fps_with_an_unknown_source_rate_takes_the_frame_that_is_on_screen():
    frames = ticks([0.0, 0.4, 0.6, 0.9], 0.0)
    assert kept(by_fps(frames, 2, float("nan"))) == [0, 1, 3]  # at 0, at 0.5, and from 0.9 on
    assert kept(by_fps([], 2, 25.0)) == []


def test_stride_and_index():
    frames = ticks([i / 10 for i in range(10)], 0.1)
    assert kept(by_stride(frames, 3)) == [0, 3, 6, 9]
    assert kept(by_index(frames, [2, 7])) == [2, 7]
    assert kept(by_index(frames, [])) == []


def test_reading_stops_after_the_last_index():
    taken = []

    def frames():
        for frame in ticks([i / 10 for i in range(10)], 0.1):
            taken.append(frame.index)
            yield frame

    list(by_index(frames(), [1, 4]))
    assert taken == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fps": 0}, "fps is 0; it must be a number of frames per second above 0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"max_seconds": -1}, "max_seconds is -1; it must be a number of seconds above 0"),
        ({"num_frames": 0}, "num_frames is 0; it must be a whole number, 1 or more"),
        ({"num_frames": 2.5}, "num_frames is 2.5; it must be a whole number"),
        ({"stride": 0}, "stride is 0; it must be a whole number, 1 or more"),
        (
            {"fps": 2, "num_frames": 4},
            "fps and num_frames were both given; choose one .* .--fps, --num-frames and --stride",
        ),
        ({"fps": 2, "stride": 4}, "fps and stride were both given; choose one"),
    ],
)
def test_refused_samplings(options, words):
    with pytest.raises(UsageError, match=words):
        Sampling(**options)


def clock(stamps: list[tuple], default: float = 40) -> list[float]:
    return [time for time, _, _ in clocked([(Stamp(*stamp), None) for stamp in stamps], default)]


def test_increasing_pts_are_the_times_whatever_the_dts():
    assert clock([(0, -80, 40), (40, None, 40), (100, 0, 40)]) == [0, 40, 100]


def test_shuffled_pts_give_way_to_dts_from_the_first_disorder_on():
    stamps = [(1, 1, 1), (2, 2, 1), (4, 3, 1), (3, 4, 1), (5, 5, 1), (7, 6, 1), (6, 7, 1), (8, None, 1)]
    assert clock(stamps) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_without_stamps_time_runs_by_durations():
    assert clock([(None, None, None)] * 3) == [0, 40, 80]
    assert clock([(None, None, 10), (None, None, 20), (None, None, 30)]) == [0, 10, 30]


def test_a_repeated_stamp_moves_one_frame_and_not_all_that_follow():
    assert clock([(0, 0, 40), (40, 40, 40), (40, 40, 40), (80, 80, 40), (120, 120, 40)]) == [0, 40, 60, 80, 120]


def test_a_clock_that_jumps_back_goes_on():
    times = clock([(1000, 1000, 40), (1040, 1040, 40), (0, 0, 40), (40, 40, 40), (2000, 2000, 40)])
    assert times == [1000, 1040, 1080, 1120, 2000]


@pytest.mark.parametrize("seed", range(20))
def test_times_strictly_increase_whatever_the_stamps(seed):
    rng = np.random.default_rng(seed)
    draw = lambda: None if rng.random() < 0.2 else int(rng.integers(0, 60))  # noqa: E731
    times = clock([(draw(), draw(), draw()) for _ in range(60)])
    assert len(times) == 60
    assert all(a < b for a, b in pairwise(times))
