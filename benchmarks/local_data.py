"""Local features for benchmarks of VLAD, Fisher vectors and k-means: conv5_3 of VGG-16 on frames of a real video."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import ROOT, data_dir

CACHE = ROOT / ".devdata"
VIDEO = "v_GGSY1Qvo990.mp4"
FRAMES = 100
NAME = "local-vgg16-conv5_3.npy"


def maps() -> np.ndarray:
    """float16 [100, 512, 14, 14], with seeded random weights; computed once.

    Machines without the video or a decoder take the file from $VIDFEAT_DATA or .devdata.
    """
    for folder in (data_dir(), CACHE):
        if (folder / NAME).exists():
            return np.load(folder / NAME)
    CACHE.mkdir(exist_ok=True)
    import vidfeat

    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "feats.h5"
        command = [sys.executable, "-m", "vidfeat.cli.main", "extract", data_dir() / "videos" / VIDEO, "-o", output,
                   "--backbone", "vgg16", "--layers", "conv5_3", "--weights", "none", "--warp",
                   "--num-frames", str(FRAMES), "-q"]  # fmt: skip
        subprocess.run(list(map(str, command)), check=True)
        with vidfeat.open_features(output) as stored:
            np.save(CACHE / NAME, stored[stored.ids[0]]["conv5_3"])
    return np.load(CACHE / NAME)


def rows(found: np.ndarray) -> np.ndarray:
    """Positions of maps as local features, L2-normalised: float32 [n, 512]."""
    flat = found.astype(np.float32).transpose(0, 2, 3, 1).reshape(-1, found.shape[1])
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return flat / np.where(norms > 0, norms, 1)
