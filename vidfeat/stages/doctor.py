"""``vidfeat doctor``: can this installation do its work, and how fast may it be?"""

import importlib.metadata
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from vidfeat.stages.config.files import DoctorConfig
from vidfeat.stages.summary import Summary

PACKAGES = (
    "torch torchvision numpy opencv-contrib-python-headless av h5py scikit-learn libsvm-official numba safetensors "
    "matplotlib typer tqdm"
).split()
DECODERS = "h264 hevc mpeg4 vp9 av1 mjpeg".split()
CPU_FLAGS = "avx2 avx512f avx512_vnni avx512_bf16 amx_bf16".split()


def run(config: DoctorConfig) -> Summary:
    """Versions, devices, decoders and CPU flags; ``problems`` lists what stops work (exit code 1)."""
    problems: list[str] = []
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: _version(name, problems) for name in PACKAGES},
        "cpu flags": [flag for flag in CPU_FLAGS if flag in cpu_flags()],
        "decoders": _decoders(problems),
        "devices": _devices(problems),
        "temporary folder": _writable(problems),
        "problems": problems,
    }
    return Summary(facts, exit_code=1 if problems else 0)


def cpu_flags() -> list[str]:
    """Instruction sets of the CPU as Linux names them; empty where /proc is absent."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    for line in text.splitlines():
        if line.startswith("flags"):
            return line.partition(":")[2].split()
    return []


def _version(name: str, problems: list[str]) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        problems.append(f"package {name} is not installed; pip install vidfeat brings it")
        return "missing"


def _decoders(problems: list[str]) -> list[str]:
    try:
        import av.codec
    except ImportError as error:
        problems.append(f"PyAV cannot be imported: {error}")
        return []
    available = av.codec.codecs_available
    found = [name for name in DECODERS if name in available]
    if "h264" not in found:
        problems.append("the FFmpeg inside PyAV cannot decode H.264; install av from its binary wheel")
    return found


def _devices(problems: list[str]) -> list[str]:
    try:
        import torch
    except ImportError as error:
        problems.append(f"torch cannot be imported: {error}")
        return []
    gpus = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return ["cpu", *gpus]


def _writable(problems: list[str]) -> str:
    try:
        with tempfile.TemporaryDirectory() as folder:
            return f"{Path(folder).parent} (writable)"
    except OSError as error:
        problems.append(f"no writable temporary folder: {error}")
        return "not writable"
