"""Linear one-vs-rest SVMs: one Gram matrix for all classes, against scikit-learn's on rows, and the size of UCF101.

    python benchmarks/svm.py [--repeats 3] [--items 9537 --dimensions 4096 --classes 101] [--small-items 1500]

``small``: 1,500 items, 10 classes. The peer is OneVsRestClassifier(SVC(kernel="linear")) on rows that are centred and
scaled already, so that both solve the same problem; ``rows_threads`` gives it two threads, ``precomputed`` the finished
Gram matrix, which is the least that remains if only the Gram matrix is shared. ``large``: the whole command
``vidfeat svm train --C 1`` on synthetic codes, 9,537 training and 3,783 test items, in a process of its own, whose peak
memory the operating system tells.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from common import ROOT, machine, paired_seconds, ratios, write_results
from joblib import parallel_config
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

from vidfeat.classify import LibSVC
from vidfeat.kernels import Centring, linear_gram
from vidfeat.store import CodesWriter

BARS = {"seconds": 180, "peak_mb": 4096, "ratio": 20}
TOL = 1e-3
_MEASURE = (
    "import resource, subprocess, sys, time\n"
    "start = time.perf_counter()\n"
    "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
    "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--items", type=int, default=9537)
    parser.add_argument("--dimensions", type=int, default=4096)
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--small-items", type=int, default=1500)
    parser.add_argument("--no-large", action="store_true")
    parser.add_argument("--name", default="svm", help="name of the JSON file")
    arguments = parser.parse_args()
    machine()
    results = {"bars": BARS, "tol": TOL, "small": small(arguments.small_items, arguments.dimensions, arguments.repeats)}
    if not arguments.no_large:
        results["large"] = large(arguments.items, arguments.dimensions, arguments.classes)
    write_results(arguments.name, results)


def codes(n: int, D: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic, nowhere negative, with a common part and classes that overlap; float32, as in a codes file."""
    random = np.random.Generator(np.random.PCG64(seed))
    centres = np.random.Generator(np.random.PCG64(0)).standard_normal((classes, D), dtype=np.float32)
    y = np.arange(n) % classes
    X = random.standard_normal((n, D), dtype=np.float32)
    X *= 3
    X += 0.35 * centres[y] + 2
    np.maximum(X, 0, out=X)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X, y


def small(n: int, D: int, repeats: int) -> dict:
    """Seconds of training, and how far decision values lie apart."""
    X, y = codes(n, D, 10, seed=1)
    K = linear_gram(X)
    centring = Centring.fit(K)
    Z = ((X - X.mean(axis=0, dtype=np.float64)) / np.sqrt(centring.scale)).astype(np.float64)
    kernel = centring.train(K)
    peers = {
        "rows": (OneVsRestClassifier(SVC(kernel="linear", tol=TOL)), Z),
        "rows_threads": (OneVsRestClassifier(SVC(kernel="linear", tol=TOL), n_jobs=2), Z),
        "precomputed": (OneVsRestClassifier(SVC(kernel="precomputed", tol=TOL)), kernel),
    }
    ours = LibSVC(tol=TOL)
    ours.fit(X[:200], y[:200])  # loads what is loaded on first use

    def timed(run) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    runs = {"vidfeat": lambda: timed(lambda: ours.fit(X, y))}
    for name, (peer, given) in peers.items():
        runs[name] = lambda peer=peer, given=given: timed(lambda: fit(peer, given, y))
    seconds = paired_seconds(runs, repeats)
    exact = LibSVC(tol=1e-9).fit(X, y).class_scores(X)
    peer = OneVsRestClassifier(SVC(kernel="precomputed", tol=1e-9)).fit(kernel, y).decision_function(kernel)
    return {
        "items": n,
        "dimensions": D,
        "classes": 10,
        "seconds": {name: median(values) for name, values in seconds.items()},
        "ratio": {name: ratios(seconds[name], seconds["vidfeat"]) for name in peers},
        "same_predictions": float(np.mean(ours.predict(X) == peers["rows"][0].predict(Z))),
        "largest_difference_at_tol_1e-9": float(np.abs(exact - peer).max()),
    }


def fit(peer: OneVsRestClassifier, given: np.ndarray, y: np.ndarray) -> None:
    """In threads, where there are several jobs: processes would count their start."""
    with parallel_config(backend="threading"):
        peer.fit(given, y)


def large(n: int, D: int, classes: int) -> dict:
    """Seconds and peak memory of ``vidfeat svm train`` on n training and 0.4 n test items, C fixed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codes.h5"
        X, y = codes(n + (2 * n) // 5, D, classes, seed=2)
        with CodesWriter(path, {}) as writer:
            for row, (code, label) in enumerate(zip(X, y, strict=True)):
                split = {"split1": "train" if row < n else "test"}
                writer.append(f"v{row:05d}", {"default": code}, (f"c{label:03d}",), f"g{row}", split)
        del X
        command = [sys.executable, "-m", "vidfeat.cli.main", "svm", "train", str(path), "--C", "1", "--split", "split1"]
        command += ["--device", "cpu", "-q", "-o", str(Path(folder) / "RUN")]
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE, *command], cwd=ROOT, check=True, capture_output=True, text=True
        )
        seconds, peak = map(float, done.stdout.split())
        found = json.loads((Path(folder) / "RUN" / "results.json").read_text())
    unit = 1024 if sys.platform == "darwin" else 1
    return {
        "items": n,
        "test_items": found["n_test"],
        "dimensions": D,
        "classes": classes,
        "seconds": seconds,
        "peak_mb": peak / unit / 1024,
        "accuracy": found["accuracy"],
        "within_bars": seconds <= BARS["seconds"] and peak / unit / 1024 <= BARS["peak_mb"],
    }


if __name__ == "__main__":
    main()
