"""VLAD against VLFeat's: 19,600 local features of 512 numbers, 100 words.

    python benchmarks/vlad.py [--threads 2] [--repeats 9]

Both sides get the same prepared rows and the same words; VLFeat quantises exhaustively and encodes, timed apart. Ours
also starts from float16 maps [100, 512, 14, 14], with the L2 normalisation of local features that VLFeat's rows have
had already. The least work is the product of rows and words, 2·19,600·512·100 operations, timed as ``product``.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from common import machine, paired_seconds, ratios, write_results
from local_data import maps, rows

from vidfeat.codebooks import kmeans
from vidfeat.encoders import VLAD

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from oracles import vlfeat

WORDS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    machine()
    torch.set_num_threads(arguments.threads)
    library = vlfeat.library()
    if library is None:
        raise SystemExit("VLFeat is not installed: apt-get install libvlfeat1")
    library.vl_set_num_threads(arguments.threads)
    found = maps()
    local = rows(found)
    # Of other features than the encoded ones: residuals to their own means vanish, and VLFeat scales rounding up.
    centers = kmeans(local[::10], WORDS, iterations=10, seed=0).centers
    from_rows, from_maps = VLAD(WORDS, local_norm=False), VLAD(WORDS)
    from_rows.centers_ = from_maps.centers_ = centers
    words = vlfeat.quantize(library, local, centers)
    left, right = torch.from_numpy(local), torch.from_numpy(np.ascontiguousarray(centers.T))
    codes: dict[str, np.ndarray] = {}

    def vlad_of(encoder: VLAD, video: np.ndarray, name: str) -> None:
        codes[name] = encoder.transform([video])[0]

    def encode() -> None:
        codes["vlfeat"] = vlfeat.vlad(library, local, centers, vlfeat.NORMALIZE_COMPONENTS, words)

    runs = {
        "rows": lambda: vlad_of(from_rows, local, "rows"),
        "maps": lambda: vlad_of(from_maps, found, "maps"),
        "vlfeat_quantize": lambda: vlfeat.quantize(library, local, centers),
        "vlfeat_encode": encode,
        "product": lambda: left @ right,
    }
    for run in runs.values():
        run()
    seconds = paired_seconds({name: timed(run) for name, run in runs.items()}, arguments.repeats)
    peer = [a + b for a, b in zip(seconds["vlfeat_quantize"], seconds["vlfeat_encode"], strict=True)]
    write_results(
        "vlad",
        {
            "threads": arguments.threads,
            "local_features": list(local.shape),
            "words": WORDS,
            "seconds": {name: median(values) for name, values in seconds.items()},
            "ratio": {"rows": ratios(peer, seconds["rows"]), "maps": ratios(peer, seconds["maps"])},
            "rows_over_product": ratios(seconds["rows"], seconds["product"]),
            "largest_difference": {
                name: float(np.abs(codes[name] - codes["vlfeat"]).max()) for name in ("rows", "maps")
            },
        },
    )


def timed(run):
    """Seconds of one call."""

    def measure() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return measure


if __name__ == "__main__":
    main()
