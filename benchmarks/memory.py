"""Peak memory of ``vidfeat extract`` on a 20-minute file against a 1-minute file of the same pictures, all frames.

    python benchmarks/memory.py

The two processes are alike but for the length, so the difference of their peak resident sizes is what length costs.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
from common import ROOT, write_results

FPS, WIDTH, HEIGHT = 25, 320, 240
BAR_MB = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, nargs=2, default=[1, 20])
    parser.add_argument("--backbone", default="squeezenet1_1")
    parser.add_argument("--layer", default="avgpool")
    parser.add_argument("--size", type=int, default=64)
    arguments = parser.parse_args()
    network = ["--backbone", arguments.backbone, "--layers", arguments.layer, "--size", str(arguments.size)]
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for minutes in arguments.minutes:
            video = Path(folder) / f"{minutes:g}.mp4"
            write_video(video, round(minutes * 60 * FPS))
            output = Path(folder) / f"{minutes:g}.h5"
            peaks[f"{minutes:g} minutes"] = peak_of(["extract", video, "-o", output, "--weights", "none", *network])
            print(peaks, file=sys.stderr)
    short, long = peaks.values()
    write_results("memory", {"peak_mb": peaks, "growth_mb": long - short, "bar_mb": BAR_MB, "network": network})


def write_video(path: Path, frames: int) -> None:
    """Noise that moves, so that neither the encoder nor the decoder has an empty job."""
    picture = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    picture = picture.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "28"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            shifted = np.ascontiguousarray(np.roll(picture, number, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24")))
        container.mux(stream.encode())


def peak_of(command: list) -> float:
    """Peak resident size in MB of one vidfeat command, as the operating system accounts for it."""
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    vidfeat = [sys.executable, "-m", "vidfeat.cli.main", *map(str, command), "-q"]
    result = subprocess.run(
        [sys.executable, "-c", script, *vidfeat], check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    unit = 1024 if sys.platform == "darwin" else 1
    return int(result.stdout) / unit / 1024


if __name__ == "__main__":
    main()
