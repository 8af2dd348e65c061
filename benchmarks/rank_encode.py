"""``vidfeat encode --method rankpool --direction both`` against the least work, and the memory of one long video.

encode: a whole command, process start included, against a plain loop in this process that reads the same file with h5py
and does, for each direction, only what cannot be left out: running sums in float64, L2, and the symmetric product
(BLAS dsyrk). The loop solves nothing, so it is a floor and no peer. Beside it, the command on a file of one video: what
start-up costs.

memory: growth of the peak resident size over a call of ``rank_pool`` on one video, in a process of its own.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import rank_peers as peers
import torch
from common import ROOT
from rank_data import frames, prepared, run_vidfeat, synthetic
from rank_timing import Settings, medians, ratio, shown
from scipy.linalg.blas import dsyrk

from vidfeat.pooling import rank_pool
from vidfeat.store import FeatureWriter, open_codes

FRAMES, D, C = 180, 4096, 2.0
CHECKED = 5


def encode_section(items: int, settings: Settings) -> list[dict]:
    needed = 1.2 * items * FRAMES * D * 4
    with tempfile.TemporaryDirectory() as folder:
        if shutil.disk_usage(folder).free < needed:
            raise SystemExit(f"{folder} has not the {needed / 1e9:.1f} GB that {items} videos need: set TMPDIR.")
        many, one, codes = (Path(folder) / name for name in ("many.h5", "one.h5", "codes.h5"))
        write_features(many, items)
        write_features(one, 1)
        command = ("--method", "rankpool", "--direction", "both", "-q")
        sums = fastest_sums()
        timed = {
            "loop": lambda: seconds_of(lambda: least_work(many, sums)),
            "command": lambda: seconds_of(lambda: run_vidfeat("encode", many, "-o", codes, *command)),
            "command_one_video": lambda: seconds_of(
                lambda: run_vidfeat("encode", one, "-o", one.with_suffix(".codes"), *command)
            ),
        }
        for run in timed.values():
            run()
        seconds: dict[str, list[float]] = {name: [] for name in timed}
        for _ in range(min(settings.repeats, 3)):
            for name, run in timed.items():
                seconds[name].append(run())
        excess, cosine = check_codes(codes)
    case = {
        "videos": items,
        "T": FRAMES,
        "D": D,
        "C": C,
        "direction": "both",
        "gigabytes": items * FRAMES * D * 4 / 1e9,
    }
    case |= {"running_sums": sums.__name__, "seconds": medians(seconds), "rounds": seconds}
    case["command_over_loop"] = ratio(seconds["command"], seconds["loop"])
    without_start = [a - b for a, b in zip(seconds["command"], seconds["command_one_video"], strict=True)]
    case["command_without_start_over_loop"] = ratio(without_start, seconds["loop"])
    case |= {
        "checked_videos": min(CHECKED, items),
        "least_cosine_to_certified": cosine,
        "largest_certified_gap": excess,
    }
    return [shown(case)]


def write_features(path: Path, items: int) -> None:
    """Random walks: a few different ones, each with its own gain, so that writing does not take longer than reading."""
    videos = [synthetic(FRAMES, D, seed) for seed in range(min(items, 20))]
    with FeatureWriter(path, {"benchmark": "rank_encode"}, {}) as writer:
        for number in range(items):
            item = writer.item(f"video{number:04d}")
            item.append("fc7", videos[number % len(videos)] * np.float32(1 + number / 1000))
            item.append("frame", np.arange(FRAMES))
            item.append("time", np.arange(FRAMES) / 25)
            item.finish({"state": "done"}, group=f"video{number:04d}")


def by_cumsum(x: np.ndarray) -> np.ndarray:
    return np.cumsum(x, axis=0, dtype=np.float64)


def by_rows(x: np.ndarray) -> np.ndarray:
    sums = x.astype(np.float64)
    for t in range(1, len(sums)):
        sums[t] += sums[t - 1]
    return sums


def fastest_sums():
    x = synthetic(FRAMES, D, 0)
    return min((by_cumsum, by_rows), key=lambda sums: min(seconds_of(lambda: sums(x)) for _ in range(10)))


def least_work(path: Path, sums) -> None:
    with h5py.File(path) as file:
        for item in file["items"].values():
            x = item["fc7"][()]
            for rows in (x, x[::-1]):
                v = sums(rows)
                v /= np.sqrt(np.einsum("td,td->t", v, v))[:, None]
                dsyrk(1.0, v.T, trans=1)  # v.T: Fortran order without a copy


def check_codes(path: Path) -> tuple[float, float]:
    """The stored codes of the first videos against certified solutions of frames prepared here."""
    gaps, cosines = [], []
    with open_codes(path) as codes:
        stored = codes.codes()
    for seed in range(min(CHECKED, len(stored))):
        x = synthetic(FRAMES, D, seed) * np.float32(1 + seed / 1000)
        for order, half in ((x, stored[seed][:D]), (x[::-1], stored[seed][D:])):
            sums = by_cumsum(order)
            v = torch.from_numpy(sums / np.linalg.norm(sums, axis=1, keepdims=True))
            u, info = rank_pool(v, C, return_info=True)
            gaps.append(float(info.relative_gap))
            cosines.append(peers.cosine(u.numpy(), half))
    return max(gaps), min(cosines)


def seconds_of(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


# ---- memory ----


def memory_section(length: int) -> list[dict]:
    """Frames of a random walk, float32 [length, 4096]."""
    result = subprocess.run(
        [sys.executable, str(Path(__file__)), str(length)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [shown(json.loads(result.stdout))]


def memory_child(length: int) -> None:
    rank_pool(torch.from_numpy(prepared(frames("synthetic", 64, D))), C)  # libraries and threads are there before
    v = torch.from_numpy(prepared(synthetic(length, D, 0)))
    before = reset_peak()
    start = time.perf_counter()
    _, info = rank_pool(v, C, return_info=True)
    seconds = time.perf_counter() - start
    growth = peak_mb("VmHWM") - before
    case = {"T": length, "D": D, "C": C, "dtype": "float32", "seconds": seconds, "steps": int(info.steps)}
    case |= {"relative_gap": float(info.relative_gap), "converged": bool(info.converged)}
    case |= {"frames_mb": v.nbytes / 2**20, "growth_mb": growth, "growth_over_frames": growth * 2**20 / v.nbytes}
    print(json.dumps(case))


def reset_peak() -> float:
    """Make Linux forget the peak so far; the size now in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_mb("VmRSS")


def peak_mb(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    memory_child(int(sys.argv[1]))
