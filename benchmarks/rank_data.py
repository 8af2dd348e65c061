"""Frames for the rank-pooling benchmarks: synthetic ones and those of real recordings, prepared as for rank pooling."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import ROOT, data_dir

# Layers of networks with seeded random weights. ResNet-18's avgpool is its last convolution averaged over positions.
LAYERS = {4096: ("alexnet", "fc7"), 512: ("resnet18", "avgpool")}
REAL_FRAMES = 5000
SOURCES = ("synthetic", "real")
CACHE = ROOT / ".devdata"
_CHUNK = 500


def frames(source: str, T: int, D: int, seed: int = 0) -> np.ndarray:
    """Features [T, D] float32 as a network gives them. Of real ones, ``seed`` chooses where the T frames begin."""
    if source == "synthetic":
        return synthetic(T, D, seed)
    recorded = real(D)
    start = seed * 997 % (len(recorded) - T + 1)
    return recorded[start : start + T].astype(np.float32)


def synthetic(T: int, D: int, seed: int) -> np.ndarray:
    """max(0, random walk + noise): like activations after a ReLU that drift and flicker."""
    random = np.random.Generator(np.random.PCG64(seed))
    place = random.standard_normal(D)
    x = np.empty((T, D), dtype=np.float32)
    for start in range(0, T, _CHUNK):
        rows = x[start : start + _CHUNK]
        walk = place + np.cumsum(0.1 * random.standard_normal(rows.shape), axis=0)
        place = walk[-1]
        np.maximum(walk + random.standard_normal(rows.shape), 0.0, out=rows, casting="same_kind")
    return x


def real(D: int) -> np.ndarray:
    """The first 5,000 frames of the recordings one after the other, float16 [5000, D]; computed once.

    Machines without the videos or a decoder take the file from $VIDFEAT_DATA or .devdata.
    """
    backbone, layer = LAYERS[D]
    name = f"rank-{backbone}-{layer}.npy"
    for folder in (data_dir(), CACHE):
        if (folder / name).exists():
            return np.load(folder / name, mmap_mode="r")
    CACHE.mkdir(exist_ok=True)
    np.save(CACHE / name, extracted(backbone, layer))
    return np.load(CACHE / name, mmap_mode="r")


def extracted(backbone: str, layer: str) -> np.ndarray:
    import vidfeat

    rows: list[np.ndarray] = []
    for video in sorted((data_dir() / "actions").glob("*.mp4")):
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "feats.h5"
            command = ["extract", video, "-o", output, "--backbone", backbone, "--layers", layer, "--weights", "none"]
            run_vidfeat(*command, "-q")
            with vidfeat.open_features(output) as stored:
                rows += [stored[item_id][layer].astype(np.float16) for item_id in stored.ids]
        if sum(map(len, rows)) >= REAL_FRAMES:
            return np.concatenate(rows)[:REAL_FRAMES]
    raise SystemExit(f"{data_dir()}/actions holds fewer than {REAL_FRAMES} frames; point VIDFEAT_DATA at the set.")


def prepared(x: np.ndarray) -> np.ndarray:
    """v_t: running mean, L2 (which makes the division by t void); summed in float64, float32 [T, D]."""
    v = np.empty(x.shape, dtype=np.float32)
    total = np.zeros(x.shape[1])
    for start in range(0, len(x), _CHUNK):
        sums = total + np.cumsum(x[start : start + _CHUNK], axis=0, dtype=np.float64)
        total = sums[-1]
        v[start : start + _CHUNK] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return v


def padded(videos: Sequence[np.ndarray]) -> np.ndarray:
    """[B, longest, D], zeros at the end."""
    batch = np.zeros((len(videos), max(map(len, videos)), videos[0].shape[1]), dtype=videos[0].dtype)
    for row, video in zip(batch, videos, strict=True):
        row[: len(video)] = video
    return batch


def run_vidfeat(*command) -> None:
    command = [sys.executable, "-m", "vidfeat.cli.main", *map(str, command)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
