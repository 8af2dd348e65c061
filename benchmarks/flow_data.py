"""Pairs of grey frames for the flow benchmarks, float32 levels 0…255 [N, H, W].

Decoded once into .devdata/flow-NAME.npy (uint8), which is all that a machine without the videos or a decoder needs.
"""

import itertools

import numpy as np
from common import ROOT, data_dir

CACHE = ROOT / ".devdata"
# name: (file, first frame, step between the frames of a pair, step between pairs, pairs)
SETS = {
    "sport": ("videos/v_GGSY1Qvo990.mp4", 5, 1, 17, 20),
    "actions": ("actions/*.mp4", 100, 2, 37, 20),  # 25 frames/s, so pairs at 12.5
    "340x256": ("videos/arm_wrestling_340x256.mp4", 5, 1, 13, 20),
    "640x360": ("videos/av1_video.mkv", 3, 1, 12, 10),
}


def pairs(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The frames before and after."""
    both = stored(name).astype(np.float32)
    return both[0], both[1]


def stored(name: str) -> np.ndarray:
    """uint8 [2, N, H, W]."""
    for folder in (data_dir(), CACHE):
        if (folder / f"flow-{name}.npy").exists():
            return np.load(folder / f"flow-{name}.npy")
    both = rubberwhale() if name == "rubberwhale" else decoded(*SETS[name])
    CACHE.mkdir(exist_ok=True)
    np.save(CACHE / f"flow-{name}.npy", both)
    return both


def rubberwhale() -> np.ndarray:
    import cv2

    files = [data_dir() / "flow" / f"rubberwhale_frame{number}.png" for number in (10, 11)]
    return np.stack([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[None] for path in files])


def truth() -> np.ndarray | None:
    """Known flow of RubberWhale [2, H, W]; None on a machine without it."""
    from vidfeat.flow import read_flo

    path = data_dir() / "flow" / "rubberwhale_flow10.flo"
    return read_flo(path) if path.exists() else None


def decoded(pattern: str, first: int, step: int, between: int, count: int) -> np.ndarray:
    import av

    before, after = [], []
    files = sorted(data_dir().glob(pattern))
    for number, path in enumerate(files):
        starts = [first + between * k for k in range(count // len(files) + (number < count % len(files)))]
        with av.open(str(path)) as container:
            frames = itertools.islice(container.decode(video=0), starts[-1] + step + 1)
            grey = [frame.to_ndarray(format="gray") for frame in frames]
        before += [grey[start] for start in starts]
        after += [grey[start + step] for start in starts]
    if len(before) < count:
        raise SystemExit(f"no videos {pattern} under {data_dir()}; point VIDFEAT_DATA at the data")
    return np.stack([np.stack(before), np.stack(after)])
