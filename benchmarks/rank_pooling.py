"""Rank pooling against the solvers one would otherwise call: time at equal objective, and the time of the gradient.

    python benchmarks/rank_pooling.py [--device cuda] [--only SECTION] [--repeats 5] [--quick]

Sections: ``solve`` one video; ``batch`` 64 videos; ``gradient`` (rank_gradient.py); ``encode`` and ``memory``
(rank_encode.py). Peers are named in rank_peers.py, the frames in rank_data.py. All runs of a case take turns, A B A B,
on the same float32 values; peers get them as float64, in their own structure where that can be prepared. LIBLINEAR's
conversion has columns of its own. A peer is timed at its default tolerance, and at the loosest power of ten that comes
within 1e-6 of the optimum (``PEER_at_objective``); where it reaches none within ``--cap`` seconds a run, the least
excess is given, the seconds of the run that reached it, and the ratio means "at least".

Our result is right if its objective exceeds the lowest that anybody found by less than 1e-8 (float64) or 1e-6
(float32). The floor is the float64 product that an exact method needs, V Vᵀ or Vᵀ V, whichever is smaller, by torch or
NumPy, whichever is faster; from float32 frames it includes their conversion. A GPU run has its floor on the GPU.
"""

import argparse
import json
import time

import numpy as np
import rank_peers as peers
import torch
from common import RESULTS, machine, write_results
from rank_data import SOURCES, frames, padded, prepared
from rank_gradient import gradient_section
from rank_timing import Run, Settings, measure, medians, ratio, shown, to_numpy

from vidfeat.pooling import rank_pool

BARS = {"float64": 1e-8, "float32": 1e-6}
SECTIONS = ("solve", "batch", "gradient", "encode", "memory")
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of vidfeat; peers run on the CPU")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="keep the other sections of the result file")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cap", type=float, default=20.0, help="seconds that a peer may take for one run")
    parser.add_argument("--encode-items", type=int, default=1000)
    parser.add_argument("--memory-frames", type=int, default=20_000)
    parser.add_argument("--sources", choices=SOURCES, nargs="+", default=list(SOURCES), help="frames to take")
    parser.add_argument("--longest", type=int, default=5000, help="leave out cases of more frames")
    parser.add_argument("--quick", action="store_true", help="few small cases, printed and not written")
    arguments = parser.parse_args()
    facts = machine()
    settings = Settings(
        torch.device(arguments.device),
        arguments.repeats,
        arguments.cap,
        arguments.quick,
        tuple(arguments.sources),
        arguments.longest,
    )
    run = {
        "solve": lambda: solve_section(settings),
        "batch": lambda: batch_section(settings),
        "gradient": lambda: gradient_section(settings),
    }
    if arguments.device == "cpu":
        from rank_encode import encode_section, memory_section  # needs h5py and SciPy, which a GPU machine may lack

        items, length = (20, 2000) if arguments.quick else (arguments.encode_items, arguments.memory_frames)
        run["encode"] = lambda: encode_section(items, settings)
        run["memory"] = lambda: memory_section(length)
    if missing := set(arguments.only or ()) - run.keys():
        parser.error(f"{', '.join(sorted(missing))}: on the CPU only")
    name = "rank-pooling" if arguments.device == "cpu" else "rank-pooling-gpu"
    sections = earlier_sections(name, facts) if arguments.only else {}
    for section in arguments.only or run:
        sections[section] = {
            "commit": facts["commit"],
            "date": facts["date"],
            "threads": torch.get_num_threads(),
            "peers": peers.versions(),
            "cases": run[section](),
        }
        if not arguments.quick:
            write_results(name, {"device": arguments.device, "sections": sections})


def earlier_sections(name: str, facts: dict) -> dict:
    """Sections of the result file, if it is of this machine."""
    path = RESULTS / f"{name}.json"
    earlier = json.loads(path.read_text()) if path.exists() else {}
    same = all(earlier.get("machine", {}).get(key) == facts[key] for key in ("cpu", "cores", "gpu"))
    return earlier.get("sections", {}) if same else {}


def solve_section(settings: Settings) -> list[dict]:
    sizes = [(60, 512), (200, 4096)] if settings.quick else [(T, D) for T in (60, 200, 1000, 5000) for D in (512, 4096)]
    sources = SOURCES[:1] if settings.quick else settings.sources
    sizes = [(T, D) for T, D in sizes if settings.longest >= T]
    return [solve_case(settings, source, T, D, C) for source in sources for T, D in sizes for C in (2.0, 200.0)]


def solve_case(settings: Settings, source: str, T: int, D: int, C: float) -> dict:
    """One video [T, D]."""
    v32 = prepared(frames(source, T, D))
    v64 = v32.astype(np.float64)
    t32, t64 = settings.tensor(v32), settings.tensor(v64)
    ours = {"ours_float64": lambda: rank_pool(t64, C)[None], "ours_float32": lambda: rank_pool(t32, C)[None]}
    info = rank_pool(t64, C, return_info=True)[1]
    solvers = {}
    if peers.liblinear:
        solvers["liblinear"] = (peers.liblinear_solver([peers.liblinear_problem(v64)], D, C),) * 2
    if peers.LinearSVR:
        for name, dual in (("sklearn_dual", True), ("sklearn_primal", False)):
            solvers[name] = (peers.sklearn_solver(v64, C, dual), peers.sklearn_patient(v64, C, dual, settings.cap))
    case = {
        "source": source,
        "T": T,
        "D": D,
        "C": C,
        "relative_gap": float(info.relative_gap),
        "steps": int(info.steps),
    }
    return compare(settings, case, ours, [v32], C, solvers)


def batch_section(settings: Settings) -> list[dict]:
    sizes = [(512, 2.0)] if settings.quick else [(D, C) for D in (512, 4096) for C in (2.0, 200.0)]
    sources = SOURCES[:1] if settings.quick else settings.sources
    kinds = ("T=200", "T=30…300")
    return [batch_case(settings, s, kind, D, C) for s in sources for kind in kinds for D, C in sizes]


def batch_case(settings: Settings, source: str, kind: str, D: int, C: float) -> dict:
    """64 videos in a padded [B, T, D]; all seconds of the case are of the whole batch."""
    random = np.random.Generator(np.random.PCG64(0))
    lengths = [200] * BATCH if kind == "T=200" else random.integers(30, 301, BATCH).tolist()
    videos = [prepared(frames(source, T, D, seed)) for seed, T in enumerate(lengths)]
    t32 = settings.tensor(padded(videos))
    t64 = t32.to(torch.float64)
    given = None if kind == "T=200" else torch.tensor(lengths, device=settings.device)
    alone = [settings.tensor(video) for video in videos]
    ours = {
        "ours_float64": lambda: rank_pool(t64, C, lengths=given),
        "ours_float32": lambda: rank_pool(t32, C, lengths=given),
        "ours_float32_one_by_one": lambda: torch.stack([rank_pool(video, C) for video in alone]),
    }
    info = rank_pool(t64, C, lengths=given, return_info=True)[1]
    solvers = {}
    if peers.liblinear:
        problems = [peers.liblinear_problem(video.astype(np.float64)) for video in videos]
        solvers["liblinear"] = (peers.liblinear_solver(problems, D, C),) * 2
    case = {"source": source, "videos": BATCH, "lengths": kind, "D": D, "C": C}
    case |= {"relative_gap": float(info.relative_gap.max()), "steps": int(info.steps.max())}
    return compare(settings, case, ours, videos, C, solvers)


def compare(settings: Settings, case: dict, ours: dict[str, Run], videos: list[np.ndarray], C: float, solvers) -> dict:
    """Time ours, the floors and the solvers in turns, and hold their objectives against the lowest found.

    ``solvers``: by name, the solver with default settings and the one that may take as long as it needs.
    """
    v64 = [video.astype(np.float64) for video in videos]
    values = lambda us: np.array([peers.objective(v, u, C) for v, u in zip(v64, us, strict=True)])  # noqa: E731
    found = {name: to_numpy(run()) for name, run in ours.items()}
    lowest = values(found["ours_float64"])
    over = lambda us: float((values(us) / lowest - 1).max())  # noqa: E731
    runs = ours | floors(settings, videos)
    reached = {}
    for name, (default, patient) in solvers.items():
        first = peers.timed_solution(default, over, None)
        found[name], runs[name] = first["u"], lambda default=default: default(None)
        aim = dict(peers.tighten(patient, over, settings.cap, first))
        found[f"{name}_at_objective"] = aim.pop("u")
        reached[f"{name}_at_objective"] = aim
        if aim["reached"] and aim["tolerance"]:
            runs[f"{name}_at_objective"] = lambda patient=patient, aim=aim: patient(aim["tolerance"])
    if peers.liblinear and len(v64) == 1:
        case["liblinear_conversion_s"] = conversion_seconds(v64[0])
    seconds = measure(runs, settings)
    for name, aim in reached.items():
        if name not in runs:
            seconds[name] = [aim["seconds_once"]]
    lowest = np.min([values(us) for us in found.values()], axis=0)
    for name in reached:
        reached[name]["excess"] = over(found[name])
    case["excess"] = {name: float((values(us) / lowest - 1).max()) for name, us in found.items()}
    case["cosine_to_ours"] = {
        name: min(peers.cosine(a, b) for a, b in zip(us, found["ours_float64"], strict=True))
        for name, us in found.items()
        if name != "ours_float64"
    }
    case["right"] = {dtype: case["excess"][f"ours_{dtype}"] <= bar for dtype, bar in BARS.items()}
    case["at_objective"] = reached
    case |= {"seconds": medians(seconds), "rounds": seconds}
    case["over_floor"] = {dtype: ratio(seconds[f"ours_{dtype}"], fastest(seconds, f"gram_{dtype}")) for dtype in BARS}
    for dtype in BARS:
        case[f"speedup_{dtype}"] = {
            name: ratio(values, seconds[f"ours_{dtype}"]) | at_least(reached.get(name))
            for name, values in seconds.items()
            if not name.startswith(("gram", f"ours_{dtype}")) or name.endswith("one_by_one")
        }
    return shown(case)


def at_least(aim: dict | None) -> dict[str, bool]:
    return {"at_least": True} if aim and not aim["reached"] else {}


def floors(settings: Settings, videos: list[np.ndarray]) -> dict[str, Run]:
    """The product of the frames with themselves, all videos one after the other."""
    narrow = [video if len(video) <= video.shape[1] else video.T for video in videos]
    runs: dict[str, Run] = {}
    for dtype in (torch.float64, torch.float32):
        rows = [settings.tensor(video).to(dtype) for video in narrow]
        name = f"gram_{str(dtype).removeprefix('torch.')}"
        runs[f"{name}_torch"] = lambda rows=rows: [(w := v.to(torch.float64)) @ w.T for v in rows]
        if settings.device.type == "cpu":
            arrays = [v.numpy() for v in rows]
            runs[f"{name}_numpy"] = lambda arrays=arrays: [(w := np.asarray(v, np.float64)) @ w.T for v in arrays]
    return runs


def fastest(seconds: dict[str, list[float]], prefix: str) -> list[float]:
    return min((values for name, values in seconds.items() if name.startswith(prefix)), key=np.median)


def conversion_seconds(v: np.ndarray) -> dict[str, float]:
    """LIBLINEAR's two ways to take dense rows, each once."""
    timings = {}
    for path in ("rows", "csr"):
        peers.liblinear_problem(v[:2], path)  # compiles
        start = time.perf_counter()
        peers.liblinear_problem(v, path)
        timings[path] = time.perf_counter() - start
    return timings


if __name__ == "__main__":
    main()
