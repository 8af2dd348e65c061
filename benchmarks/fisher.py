"""Fisher vectors against VLFeat's: 19,600 local features reduced to 64 numbers, 256 Gaussians.

    python benchmarks/fisher.py [--threads 2] [--repeats 9]

Both sides get the same prepared rows and the same mixture, which has narrow Gaussians where features repeat: ``exact``
says what the float64 result is. By products of matrices all of it would be 8·19,600·64·256 operations, log-likelihoods
and sums; these are timed as ``products``.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

import numpy as np
import torch
from common import machine, paired_seconds, ratios, write_results
from local_data import maps, rows
from vlad import timed

from vidfeat.encoders import FisherVector

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from oracles import vlfeat

GAUSSIANS, WIDTH = 256, 64


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
    local = rows(maps())
    trained = FisherVector(GAUSSIANS, n_components=WIDTH).fit_samples(local)
    reduced = (local - trained.offset_) @ trained.projection_.T
    encoder = FisherVector(GAUSSIANS, n_components=None, local_norm=False)
    mixture = (trained.weights_, trained.means_, trained.variances_)
    encoder.weights_, encoder.means_, encoder.variances_ = mixture
    both = torch.from_numpy(np.concatenate([reduced, reduced**2], 1))
    factors = torch.from_numpy(np.random.default_rng(0).normal(size=(GAUSSIANS, 2 * WIDTH)).astype(np.float32))
    codes: dict[str, np.ndarray] = {}

    def ours() -> None:
        codes["ours"] = encoder.transform([reduced])[0]

    def peer() -> None:
        flags = vlfeat.FISHER_SQUARE_ROOT | vlfeat.FISHER_NORMALIZED
        codes["vlfeat"] = vlfeat.fisher(library, reduced, *mixture, flags)

    def products() -> None:
        (both @ factors.T).T @ both

    runs = {"ours": ours, "vlfeat": peer, "products": products}
    for run in runs.values():
        run()
    seconds = paired_seconds({name: timed(run) for name, run in runs.items()}, arguments.repeats)
    truth = exact(reduced, *mixture)
    write_results(
        "fisher",
        {
            "threads": arguments.threads,
            "local_features": list(reduced.shape),
            "gaussians": GAUSSIANS,
            "seconds": {name: median(values) for name, values in seconds.items()},
            "ratio": ratios(seconds["vlfeat"], seconds["ours"]),
            "ours_over_products": ratios(seconds["ours"], seconds["products"]),
            "largest_difference": float(np.abs(codes["ours"] - codes["vlfeat"]).max()),
            "largest_error": {name: float(np.abs(code - truth).max()) for name, code in codes.items()},
        },
    )


def exact(rows, weights, means, variances) -> np.ndarray:
    """The code in float64, from differences."""
    log_weights = np.log(weights) - 0.5 * np.log(variances).sum(1)
    first = second = zeroth = 0.0
    for start in range(0, len(rows), 200):
        apart = (rows[start : start + 200, None].astype(np.float64) - means) / np.sqrt(variances)
        logs = log_weights - 0.5 * (apart**2).sum(-1)
        posteriors = np.exp(logs - logs.max(1, keepdims=True))
        posteriors /= posteriors.sum(1, keepdims=True)
        first = first + np.einsum("nk,nkd->kd", posteriors, apart)
        second = second + np.einsum("nk,nkd->kd", posteriors, apart**2)
        zeroth = zeroth + posteriors.sum(0)[:, None]
    scale = len(rows) * np.sqrt(weights)[:, None]
    code = np.concatenate([(first / scale).ravel(), ((second - zeroth) / scale / np.sqrt(2)).ravel()])
    code = np.sign(code) * np.sqrt(np.abs(code))
    return code / np.linalg.norm(code)


if __name__ == "__main__":
    main()
