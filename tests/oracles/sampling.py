"""The sampling rules as plain loops over a whole list of frames."""

import math


def midpoints(count: int, n: int) -> list[int]:
    """Cut [0, count) into n equal parts; the frame that holds the middle of each part."""
    chosen = []
    for part in range(n):
        middle = (part * count / n + (part + 1) * count / n) / 2
        frame = math.floor(middle + 1e-9)
        if count > 0 and frame not in chosen:
            chosen.append(frame)
    return chosen


def by_fps(times: list[float], fps: float, rate: float, last_duration: float) -> list[int]:
    """For k = 0, 1, …: the last frame with time <= t0 + k/f + half a frame, until the last frame is over."""
    if fps >= rate:
        return list(range(len(times)))
    half = 0.5 / rate
    chosen = []
    k = 0
    while times and times[0] + k / fps + half + 1e-9 < times[-1] + last_duration:
        now = times[0] + k / fps + half + 1e-9
        last = max(i for i, time in enumerate(times) if time <= now)
        if last not in chosen:
            chosen.append(last)
        k += 1
    return chosen
