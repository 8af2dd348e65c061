"""k-means against faiss and scikit-learn: time and objective after the same number of iterations.

    python benchmarks/kmeans.py [--threads 2] [--repeats 7] [--quick]

Samples are float32, made here: ``groups``, four times as many clouds as centres, rectified and L2-normalised as local
features are; ``noise``, normal and without any structure, the worst case for a start with care. All get the same array
and do 20 iterations over all of it (faiss with ``max_points_per_centroid`` raised, scikit-learn with ``tol=0``), starts
included: greedy k-means++ here and in scikit-learn, random samples in faiss. Runs take turns, A B A B, each round with
a seed of its own; after a pause, as threads that wait for work keep cores busy for a while. Objectives are computed in
float64 by this script from everybody's centres.
"""

import argparse
import json
import time
from importlib.metadata import version
from statistics import median

import faiss
import numpy as np
import torch
from common import machine, ratios, write_results
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from vidfeat.codebooks import kmeans

ITERATIONS = 20
CASES = [(100_000, 64, 256), (100_000, 512, 100)]
QUICK = [(20_000, 64, 64)]
PAUSE = 0.5  # seconds
SKLEARN_ROUNDS = 3  # it takes several times as long as the others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one small case, printed and not written")
    arguments = parser.parse_args()
    machine()
    torch.set_num_threads(arguments.threads)
    faiss.omp_set_num_threads(arguments.threads)
    with threadpool_limits(arguments.threads):
        cases = [
            run_case(n, d, k, kind, arguments.repeats)
            for n, d, k in (QUICK if arguments.quick else CASES)
            for kind in ("groups", "noise")
        ]
    if not arguments.quick:
        peers = {name: version(name) for name in ("faiss-cpu", "scikit-learn", "numba")}
        write_results("kmeans", {"threads": arguments.threads, "peers": peers, "cases": cases})


def run_case(n: int, d: int, k: int, kind: str, repeats: int) -> dict:
    """Medians over the rounds; speed-up: seconds of a peer over ours; objective: ours over theirs."""
    x = samples(n, d, k, kind)
    runs = {"vidfeat": ours, "faiss": by_faiss, "sklearn": by_sklearn}
    for run in runs.values():
        run(x, k, 0, 2)  # compiles, starts threads
    seconds, objectives = {name: [] for name in runs}, {name: [] for name in runs}
    for seed in range(repeats):
        for name, run in runs.items():
            if name == "sklearn" and seed >= SKLEARN_ROUNDS:
                continue
            time.sleep(PAUSE)
            start = time.perf_counter()
            centers = run(x, k, seed, ITERATIONS)
            seconds[name].append(time.perf_counter() - start)
            objectives[name].append(objective(x, centers))
    case = {"n": n, "d": d, "k": k, "samples": kind, "iterations": ITERATIONS}
    case["seconds"] = {name: median(values) for name, values in seconds.items()}
    for peer in ("faiss", "sklearn"):
        rounds = len(seconds[peer])
        case[f"speedup_{peer}"] = ratios(seconds[peer], seconds["vidfeat"][:rounds])
        case[f"objective_over_{peer}"] = ratios(objectives["vidfeat"][:rounds], objectives[peer])
    print(json.dumps(case), flush=True)
    return case | {"rounds": {"seconds": seconds, "objective": objectives}}


def samples(n: int, d: int, k: int, kind: str) -> np.ndarray:
    random = np.random.Generator(np.random.PCG64(0))
    if kind == "noise":
        return random.standard_normal((n, d), dtype=np.float32)
    points = random.standard_normal((4 * k, d))
    x = np.maximum(points[random.integers(0, len(points), n)] + random.standard_normal((n, d)), 0.0)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def ours(x: np.ndarray, k: int, seed: int, iterations: int) -> np.ndarray:
    return kmeans(x, k, iterations=iterations, seed=seed, tolerance=0.0).centers


def by_faiss(x: np.ndarray, k: int, seed: int, iterations: int) -> np.ndarray:
    found = faiss.Kmeans(x.shape[1], k, niter=iterations, seed=seed, max_points_per_centroid=len(x))
    found.train(x)
    return found.centroids


def by_sklearn(x: np.ndarray, k: int, seed: int, iterations: int) -> np.ndarray:
    model = KMeans(k, n_init=1, max_iter=iterations, tol=0.0, random_state=seed, copy_x=False)
    return model.fit(x).cluster_centers_


def objective(x: np.ndarray, centers: np.ndarray) -> float:
    """Σ min‖x − c‖² in float64."""
    centers = centers.astype(np.float64)
    squares, total = np.square(centers).sum(axis=1), 0.0
    for block in np.array_split(x, max(1, len(x) // 4096)):
        block = block.astype(np.float64)
        total += float((np.square(block).sum(axis=1) + (squares - 2.0 * block @ centers.T).min(axis=1)).sum())
    return total


if __name__ == "__main__":
    main()
