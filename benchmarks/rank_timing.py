"""Timing of runs that take from a millisecond to a minute, in turns."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from common import paired_seconds, ratios

Run = Callable[[], object]
ROUND_SECONDS = 0.05  # a short run is repeated within a round until it takes this long
CASE_SECONDS = 60.0  # all rounds of a case but the first are held to about this, by leaving out the slowest runs


@dataclass(frozen=True)
class Settings:
    """What all sections of the benchmark share."""

    device: torch.device
    repeats: int
    cap: float
    quick: bool
    sources: tuple[str, ...]
    longest: int

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)


def measure(runs: dict[str, Run], settings: Settings) -> dict[str, list[float]]:
    """Seconds of each run in each round, A B A B. Slow runs take part in fewer rounds, the slowest only warm up."""
    timers, warm = {}, {}
    for name, run in runs.items():
        warm[name], timers[name] = timer(run, settings.device)
    seconds = {name: [warm[name]] if warm[name] > CASE_SECONDS / 4 else [] for name in runs}
    left = sorted((name for name in runs if not seconds[name]), key=warm.get)
    for done in range(settings.repeats):
        while len(left) > 1 and done and sum(warm[name] for name in left) > CASE_SECONDS / settings.repeats:
            left.pop()
        for name, more in paired_seconds({name: timers[name] for name in runs if name in left}, 1).items():
            seconds[name] += more
    return seconds


def timer(run: Run, device: torch.device) -> tuple[float, Callable[[], float]]:
    """Seconds of one warm run, and a function that measures again."""

    def timed(times: int) -> float:
        synchronise(device)
        start = time.perf_counter()
        for _ in range(times):
            run()
        synchronise(device)
        return (time.perf_counter() - start) / times

    once = timed(1)
    if once < 1.0:
        once = timed(1)  # the first one also filled caches and started threads
    times = max(1, math.ceil(ROUND_SECONDS / once))
    return once, lambda: timed(times)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """Ratio over the rounds that both took part in."""
    rounds = min(len(slow), len(fast))
    return ratios(slow[:rounds], fast[:rounds])


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    return {name: median(values) for name, values in seconds.items()}


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def shown(case: dict) -> dict:
    """The case, after a line of it for people."""
    short = {name: value for name, value in case.items() if not isinstance(value, dict | list)}
    times = (
        {name: f"{1e3 * value:.3g} ms" for name, value in case.get("seconds", {}).items()} if "rounds" in case else {}
    )
    print(json.dumps(short | times | case.get("right", {}), ensure_ascii=False), flush=True)
    return case
