"""Peak memory of ``codebook train`` and ``encode --method vlad`` on four times as many items of the same kind.

    python benchmarks/local_memory.py [--items 200 800]

Items are maps [20, 256, 13, 13] in float16, 1.7 MB each; all else is alike, so the difference of the peak resident
sizes is what the number of items costs. What is on the disk: maps, and the codes that ``extract --encode`` would keep.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import write_results
from memory import peak_of

from vidfeat.store import FeatureWriter

SHAPE = (20, 256, 13, 13)
WORDS, SAMPLES, BAR_MB = 64, 20_000, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs=2, default=[200, 800])
    arguments = parser.parse_args()
    peaks: dict[str, dict[str, float]] = {"codebook train": {}, "encode": {}}
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in arguments.items:
            features, book, codes = (Path(folder) / f"{name}{count}.h5" for name in ("feats", "book", "codes"))
            write_items(features, count)
            train = [
                "codebook",
                "train",
                features,
                "--kind",
                "vlad",
                "--words",
                WORDS,
                "--samples",
                SAMPLES,
                "-o",
                book,
            ]
            encode = ["encode", features, "--method", "vlad", "--codebook", book, "-o", codes]
            for name, command in (("codebook train", [*train, "-o", book]), ("encode", encode)):
                peaks[name][f"{count} items"] = peak_of(command)
            sizes[f"{count} items"] = {path.stem: path.stat().st_size / 1e6 for path in (features, codes)}
            print(peaks, sizes, file=sys.stderr)
    growth = {name: max(found.values()) - min(found.values()) for name, found in peaks.items()}
    facts = {"item": SHAPE, "words": WORDS, "samples": SAMPLES}
    write_results("local-memory", {**facts, "peak_mb": peaks, "growth_mb": growth, "bar_mb": BAR_MB, "file_mb": sizes})


def write_items(path: Path, count: int) -> None:
    random = np.random.default_rng(0)
    maps = np.abs(random.normal(size=SHAPE)).astype(np.float16)
    with FeatureWriter(path, {"made": "up"}, {}) as writer:
        for number in range(count):
            item = writer.item(f"{number:05}")
            item.append("conv5", np.roll(maps, number, axis=1))
            item.append("time", np.arange(float(SHAPE[0])))
            item.append("frame", np.arange(SHAPE[0]))
            item.finish({"state": "done"})


if __name__ == "__main__":
    main()
