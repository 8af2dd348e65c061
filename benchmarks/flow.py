"""TV-L1 optical flow: vidfeat against OpenCV and scikit-image, on real pairs.

    python benchmarks/flow.py [--sets rubberwhale,sport,...] [--threads 2,1] [--repeats 3] [--no-skimage]

Totals of a set, A B A B, all solvers with the same number of threads; parameters are OpenCV's defaults. Beside a ratio
stand the differences of the fields (mean over pixels of the length of the difference), iterations per pair, and on
RubberWhale the end-point errors. scikit-image has another algorithm (pyramid, warps and stopping are its own) and one
thread; it gets its defaults and images 0…1. The first call of a process also loads machine code, and compiles it where
there is none: both in their own figures. On a GPU: pairs per second by batch size.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from common import ROOT, data_dir, machine, paired_seconds, ratios, write_results
from flow_data import SETS, pairs, truth

import vidfeat
from vidfeat.flow import TVL1Parameters
from vidfeat.metrics import endpoint_error

# Pairs of a set that scikit-image computes, which takes seconds for one.
SKIMAGE_PAIRS = 2
# Of each recording, for the whole process.
COMMAND_SECONDS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(["rubberwhale", *SETS]))
    parser.add_argument("--threads", default="2,1")
    parser.add_argument("--repeats", type=int, default=3, help="rounds with the first number of threads; else one")
    parser.add_argument("--no-skimage", action="store_true")
    parser.add_argument("--no-command", action="store_true", help="leave out the whole process")
    arguments = parser.parse_args()
    machine()
    import torch

    names = arguments.sets.split(",")
    threads = [int(number) for number in arguments.threads.split(",")]
    result = {"compile_seconds": start_up(cold=True), "load_seconds": start_up(cold=False), "sets": {}}
    for name in names:
        result["sets"][name] = {
            f"threads={n}": on_cpu(name, n, arguments.repeats if n == threads[0] else 1) for n in threads
        }
        if not arguments.no_skimage:
            result["sets"][name]["scikit-image"] = skimage(name)
        if torch.cuda.is_available():
            from flow_gpu import on_gpu

            result["sets"][name]["gpu"] = on_gpu(name, arguments.repeats)
        print(name, json.dumps(result["sets"][name]), file=sys.stderr)
    if not arguments.no_command:
        result["command"] = whole_process()
    write_results("flow", result)


def on_cpu(name: str, threads: int, repeats: int) -> dict:
    from vidfeat.flow import tvl1_numba, tvl1_opencv

    prev, after = pairs(name)
    fields = {}

    def timed(label, solver):
        def run() -> float:
            start = time.perf_counter()
            fields[label] = solver.flow_fields(prev, after, TVL1Parameters(), threads=threads)
            return time.perf_counter() - start

        return run

    runs = {"vidfeat": timed("vidfeat", tvl1_numba), "opencv": timed("opencv", tvl1_opencv)}
    runs["vidfeat"]()
    seconds = paired_seconds(runs, repeats)
    ours, theirs = fields["vidfeat"][0], fields["opencv"][0]
    apart = np.linalg.norm(ours - theirs, axis=1).mean(axis=(1, 2))
    return {
        "pairs": len(prev),
        "size": list(prev.shape[:0:-1]),
        "seconds": {label: sorted(values)[len(values) // 2] for label, values in seconds.items()},
        "ratio": ratios(seconds["opencv"], seconds["vidfeat"]),
        "difference_px": {"mean": float(apart.mean()), "largest_of_a_pair": float(apart.max())},
        "motion_px": float(np.linalg.norm(theirs, axis=1).mean()),
        "iterations": float(fields["vidfeat"][1].mean()),
        **({"endpoint_error_px": errors(ours=ours[0], opencv=theirs[0])} if name == "rubberwhale" else {}),
    }


def errors(**fields: np.ndarray) -> dict[str, float | None]:
    known = truth()
    return {label: None if known is None else float(endpoint_error(flow, known)) for label, flow in fields.items()}


def skimage(name: str) -> dict:
    try:
        from skimage.registration import optical_flow_tvl1
    except ImportError:
        return {"not_measured": "scikit-image is not installed"}
    from vidfeat.flow import tvl1_numba

    prev, after = (frames[:SKIMAGE_PAIRS] for frames in pairs(name))
    start = time.perf_counter()
    theirs = [optical_flow_tvl1(a / 255, b / 255) for a, b in zip(prev, after, strict=True)]
    peer = time.perf_counter() - start
    start = time.perf_counter()
    ours, _ = tvl1_numba.flow_fields(prev, after, TVL1Parameters(), threads=1)
    own = time.perf_counter() - start
    flows = {"ours": ours[0], "scikit-image": theirs[0][::-1]}  # theirs is (y, x)
    return {
        "pairs": len(prev),
        "seconds": {"vidfeat, one thread": own, "scikit-image": peer},
        "ratio": peer / own,
        **({"endpoint_error_px": errors(**flows)} if name == "rubberwhale" else {}),
    }


def whole_process() -> dict:
    """``vidfeat flow`` on the action recordings at 12.5 frames/s, from video files to a finished HDF5 file."""
    if not (data_dir() / "actions").is_dir():
        return {"not_measured": "no recordings here"}
    with tempfile.TemporaryDirectory() as folder:
        options = ["--fps", "12.5", "--max-seconds", str(COMMAND_SECONDS), "--quiet", "--json"]
        command = [
            sys.executable,
            "-m",
            "vidfeat.cli.main",
            "flow",
            str(data_dir() / "actions"),
            "-o",
            f"{folder}/flow.h5",
        ]
        start = time.perf_counter()
        subprocess.run([*command, *options], cwd=ROOT, capture_output=True, check=True)
        seconds = time.perf_counter() - start
        with vidfeat.open_features(f"{folder}/flow.h5") as features:
            fields = sum(len(features[item_id]["flow"]) for item_id in features.ids)
    shown = "vidfeat flow actions/ --fps 12.5 --max-seconds " + str(COMMAND_SECONDS)
    return {"command": shown, "fields": fields, "seconds": seconds, "fields_per_second": fields / seconds}


def start_up(cold: bool) -> float:
    """Seconds of the first call of a process on a tiny pair, with or without machine code on disk."""
    program = (
        "import numpy as np, time; a = np.zeros((1, 40, 40), np.float32); start = time.perf_counter()\n"
        "from vidfeat.flow.tvl1_numba import flow_fields; from vidfeat.flow import TVL1Parameters\n"
        "flow_fields(a, a, TVL1Parameters(), threads=1); print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as folder:
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **({"NUMBA_CACHE_DIR": folder} if cold else {})}
        command = [sys.executable, "-c", program]
        runs = [
            subprocess.run(command, env=variables, capture_output=True, text=True, check=True) for _ in range(2 - cold)
        ]
    return float(runs[-1].stdout)


if __name__ == "__main__":
    main()
