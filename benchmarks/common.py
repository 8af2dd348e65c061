"""What every benchmark records: machine, versions, commit; medians of paired runs; one JSON file per script."""

import functools
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def data_dir() -> Path:
    """The real videos: $VIDFEAT_DATA, else ../shared/data beside the checkout."""
    return Path(os.environ.get("VIDFEAT_DATA", ROOT.parent / "shared" / "data"))


@functools.cache
def machine() -> dict[str, Any]:
    """CPU, its flags, cores, GPU, versions and commit (as of the first call: results change the working tree)."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    packages = "torch torchvision numpy opencv-contrib-python-headless av h5py".split()
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu_flags": {flag: flag in flags for flag in CPU_FLAGS},
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def paired_seconds(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Time every run once per round, A B A B …, so that a drift of the machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            seconds[name].append(run())
    return seconds


def ratios(slow: Sequence[float], fast: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest ratio of the paired rounds."""
    values = sorted(a / b for a, b in zip(slow, fast, strict=True))
    return {"median": statistics.median(values), "min": values[0], "max": values[-1]}


def write_results(name: str, results: dict[str, Any]) -> Path:
    """Write ``benchmarks/results/NAME.json`` and say where."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **results}, indent=2) + "\n")
    print(path.relative_to(ROOT), file=sys.stderr)
    return path


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    try:
        text = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return text.stdout.strip()
