"""Multiple-kernel learning: the project's size on two cores, and MKLpy at a size that it can do.

    python benchmarks/mkl.py [--small] [--threads 2] [--repeats 3]

The large problem is 63 nodes (a pyramid of 6 levels) × 512 numbers × 3,000 items × 20 classes; its bar is 5 minutes and
4 GB. Node k of every five tells classes apart. Seconds, peak memory, steps and the certified gap are written, and the
accuracy on 1,000 other items beside that of uniform weights.

MKLpy (GPL-3, a peer only) has no SimpleMKL. Its EasyMKL solves one quadratic programme per class for another objective;
its GRAM, of the smallest size only, iterates over a ratio of radius and margin. Both want all Gram matrices at once:
preparing them, and solving, are timed apart. Ours starts from the nodes. Accuracy on other items stands beside the
seconds. ``--small`` is for trying the script out.
"""

import argparse
import resource
import sys
import time
import warnings
from statistics import median

import numpy as np
from common import machine, paired_seconds, ratios, write_results

from vidfeat.classify import MultipleKernelSVC

LARGE = {"items": 3000, "nodes": 63, "dimension": 512, "classes": 20}
# The last, in one round, is about as large as EasyMKL can do in 24 GB; GRAM takes hours there.
PEERS = [
    ({"items": 400, "nodes": 15, "dimension": 512, "classes": 5}, ("easymkl", "gram")),
    ({"items": 2000, "nodes": 15, "dimension": 512, "classes": 5}, ("easymkl",)),
    ({"items": 3000, "nodes": 15, "dimension": 512, "classes": 10}, ("easymkl",)),
]
SMALL = {"items": 300, "nodes": 15, "dimension": 128, "classes": 5}
C = 10.0
TEST_ITEMS = 1000


def problem(items: int, nodes: int, dimension: int, classes: int):
    """Training and test nodes and labels; every fifth node differs between classes."""
    random = np.random.Generator(np.random.PCG64(0))
    means = 0.15 * np.abs(random.standard_normal((nodes, classes, dimension), dtype=np.float32))
    parts = []
    for count in (items, TEST_ITEMS):
        y = np.arange(count) % classes
        X = np.abs(random.standard_normal((count, nodes, dimension), dtype=np.float32))
        for node in range(0, nodes, 5):
            X[:, node] += (1 + node % 3) * means[node, y]
        parts += [X, y]
    return parts


def fitted(X, y, threads: int, method: str = "simplemkl") -> tuple[MultipleKernelSVC, float]:
    start = time.perf_counter()
    model = MultipleKernelSVC(C=C, method=method, n_jobs=threads).fit(X, y)
    return model, time.perf_counter() - start


def large(size: dict, threads: int) -> dict:
    X, y, X_test, y_test = problem(**size)
    model, seconds = fitted(X, y, threads)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    uniform, uniform_seconds = fitted(X, y, threads, "uniform")
    return {
        **size,
        "seconds": seconds,
        "peak_memory_bytes": memory,
        "steps": model.n_iter_,
        "machines_trained": model.n_svm_,
        "relative_duality_gap": model.duality_gap_,
        "nodes_with_weight": int((model.beta_ > 0).sum()),
        "accuracy": float(model.score(X_test, y_test)),
        "uniform": {"seconds": uniform_seconds, "accuracy": float(uniform.score(X_test, y_test))},
        "bar_met": seconds <= 300 and memory <= 4e9 and model.duality_gap_ <= 1e-3,
    }


def peer(size: dict, threads: int, repeats: int, algorithms: tuple[str, ...]) -> dict:
    try:
        import torch
        from MKLpy.algorithms import GRAM, EasyMKL
        from sklearn.svm import SVC
    except ImportError as error:
        return {"skipped": f"MKLpy cannot be imported ({error}): pip install MKLpy cvxopt"}
    torch.set_num_threads(threads)
    X, y, X_test, y_test = problem(**size)
    accuracies: dict[str, float] = {}

    def grams(Z):
        left, right = torch.from_numpy(Z).double(), torch.from_numpy(X).double()
        own = [left[:, node] @ right[:, node].T for node in range(X.shape[1])]
        scales = [(right[:, node] ** 2).sum(1).mean() for node in range(X.shape[1])]
        return [K / scale for K, scale in zip(own, scales, strict=True)]

    train, test = grams(X), grams(X_test)

    def ours() -> float:
        model, seconds = fitted(X, y, threads)
        accuracies["vidfeat"] = float(model.score(X_test, y_test))
        return seconds

    def prepare() -> float:
        start = time.perf_counter()
        grams(X)
        return time.perf_counter() - start

    makers = {
        "easymkl": lambda: EasyMKL(lam=0.1, learner=SVC(C=C)),
        "gram": lambda: GRAM(max_iter=100, learning_rate=0.1, learner=SVC(C=C)),
    }

    def theirs(name: str) -> float:
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = makers[name]().fit(train, torch.from_numpy(y))
        seconds = time.perf_counter() - start
        accuracies[name] = float(np.mean(np.asarray(model.predict(test)) == y_test))
        return seconds

    peers = {name: lambda name=name: theirs(name) for name in algorithms}
    seconds = paired_seconds({"vidfeat": ours, "grams": prepare, **peers}, repeats)
    return {
        **size,
        "rounds": repeats,
        "seconds": {name: median(values) for name, values in seconds.items()},
        "ratio": {name: ratios(seconds[name], seconds["vidfeat"]) for name in algorithms},
        "accuracy": accuracies,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    machine()
    size, peers = (SMALL, [(SMALL, ("easymkl", "gram"))]) if arguments.small else (LARGE, PEERS)
    results = {"threads": arguments.threads, "C": C, "large": large(size, arguments.threads), "mklpy": []}
    print(results, file=sys.stderr)
    for size, algorithms in peers:
        rounds = 1 if size["items"] > 2000 else arguments.repeats
        results["mklpy"].append(peer(size, arguments.threads, rounds, algorithms))
        print(results["mklpy"][-1], file=sys.stderr)
    write_results("mkl-small" if arguments.small else "mkl", results)


if __name__ == "__main__":
    main()
