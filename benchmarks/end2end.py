"""Training steps on whole videos: frames/s by network and pooling, the share of pooling, and peak memory against T.

``plain`` is what one would write with autograd alone: all frames of the video in one graph. Frames are noise at the
network's own size, ready in memory: decoding is measured by nobody here. Memory is that of a process of its own, less
what it has before the step: resident on a CPU, allocated on a GPU. ``arrays`` are those that grow with the video: the
vectors of all frames and their gradient, [T, D] in float32, and with rank pooling six more in float64 (means, unit
vectors, and what their gradients pass through) and two of [T, T]; ``rest`` is what should not depend on T.

``stored`` trains pooling and classifier alone on frame vectors that are in memory (D = 4096, 128…180 frames): the first
epoch, in which every video is pooled, a later one, and ``anew``, as if nothing were kept between epochs.

    python benchmarks/end2end.py [--quick] [--device cuda:0] [--precision bf16]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import paired_seconds, write_results

from vidfeat.networks import Stream, VideoNetwork, backbone_network, make_pool
from vidfeat.training import Settings, StoredVectors, TwoPass, VideoBatch, World
from vidfeat.training.steps import Stepper

POOLS = {
    "avg": ("avg", {}),
    "rankpool exact": ("rankpool", {"gradient": "exact"}),
    "rankpool diag": ("rankpool", {"gradient": "diag"}),
}
CLASSES = 10
STORED_POOLS = {**POOLS, "pyramid": ("pyramid", {})}
TOGETHER = 8  # videos of a step on stored vectors
PARTS = ("speed", "stored", "memory")
NETWORKS = ("alexnet", "resnet50")
EPOCHS = 60  # of a training on them, as published


class Noise:
    """A clip of T frames that takes the memory of 64."""

    def __init__(self, frames: int, size: int):
        self._frames = frames
        self._few = torch.randint(0, 256, (64, 3, size, size), dtype=torch.uint8)

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, rows: slice) -> torch.Tensor:
        return self._few[torch.arange(self._frames)[rows] % 64]


def model_of(backbone: str, pool: str, size: int | None, device: str) -> VideoNetwork:
    """A network with random weights on the device."""
    frames = backbone_network(backbone, weights="none", size=size)
    name, options = POOLS[pool]
    stream = Stream(frames, make_pool(name, frames.dim, **options), CLASSES)
    return VideoNetwork({"rgb": stream}).to(device, memory_format=torch.channels_last)


def batch_of(frames: int, size: int) -> VideoBatch:
    return VideoBatch(["v"], [0], {"rgb": [Noise(frames, size)]}, torch.tensor([3]))


def synchronised(device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter()


def two_pass_run(
    model: VideoNetwork, batch: VideoBatch, options: argparse.Namespace, shares: list[float]
) -> Callable[[], float]:
    """Seconds of a step, without the optimiser's part, which is the same for all."""
    gradients = TwoPass(model, torch.device(options.device), options.precision, options.chunk)

    def run() -> float:
        model.zero_grad(set_to_none=True)
        started = synchronised(options.device)
        out = gradients.backward(batch, 0, 0, 1.0)
        seconds = synchronised(options.device) - started
        shares.append(out.pooling_seconds / seconds)
        return seconds

    return run


def plain_run(model: VideoNetwork, batch: VideoBatch, options: argparse.Namespace) -> Callable[[], float]:
    (clip,), stream = batch.clips["rgb"], model.streams["rgb"]
    keys = torch.arange(len(clip), device=options.device)
    kind = torch.bfloat16 if options.precision == "bf16" else None

    def run() -> float:
        model.train()
        model.zero_grad(set_to_none=True)
        started = synchronised(options.device)
        with torch.autocast(options.device.partition(":")[0], kind, enabled=kind is not None):
            x = stream.frames(clip[:].to(options.device), keys)
        lengths = {"rgb": [len(clip)]}
        judged = model.judge({"rgb": x.float()}, lengths, batch.targets.to(options.device), {"rgb": keys[:1]})
        judged.loss.sum().backward()
        return synchronised(options.device) - started

    return run


def speed(backbone: str, frames: int, options: argparse.Namespace) -> dict:
    """All poolings of one network side by side, A B C A B C …."""
    models = {pool: model_of(backbone, pool, options.size, options.device) for pool in POOLS}
    size = models["avg"].streams["rgb"].frames.input_spec.size
    batch = batch_of(frames, size)
    shares: dict[str, list[float]] = {pool: [] for pool in POOLS}
    runs = {pool: two_pass_run(model, batch, options, shares[pool]) for pool, model in models.items()}
    case = {"backbone": backbone, "T": frames, "size": size}
    plain = plain_run(models["rankpool exact"], batch, options)
    try:
        plain()
        runs["plain autograd, rankpool exact"] = plain
    except (RuntimeError, MemoryError) as error:
        case["plain"] = f"not possible: {str(error).splitlines()[0]}"
    for run in runs.values():
        run()
    for found in shares.values():
        found.clear()
    seconds = paired_seconds(runs, options.repeats)
    case["steps"] = {
        name: {
            "frames_per_second": frames / statistics.median(values),
            "seconds": values,
            **({"pooling_share": statistics.median(shares[name])} if name in shares else {}),
        }
        for name, values in seconds.items()
    }
    exact, diag = (statistics.median(seconds[f"rankpool {name}"]) for name in ("exact", "diag"))
    case["exact_over_diag"] = exact / diag
    return case


def stored(options: argparse.Namespace) -> dict:
    """Steps of pooling and classifier on stored frame vectors, with the optimiser's part, all poolings in turns."""
    dim, count = (256, 8) if options.quick else (4096, 24)
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(128, 181, (count,), generator=generator).tolist()
    walks = [torch.randn(T, dim, generator=generator).cumsum(0) for T in lengths]
    vectors = [(walk + torch.randn(walk.shape, generator=generator)).clamp(min=0) for walk in walks]
    seconds: dict[str, dict[str, list[float]]] = {}
    for _ in range(options.repeats):
        for name, (pool, chosen) in STORED_POOLS.items():
            net = VideoNetwork({"rgb": Stream(None, make_pool(pool, dim, **chosen), CLASSES)}).to(options.device)
            stepper = Stepper(net, Settings(batch=TOGETHER), World.single(options.device))
            clips = [StoredVectors(lambda own=own: own) for own in vectors]
            found = seconds.setdefault(name, {"first": [], "later": [], "anew": []})
            stepper.step(stored_batch(vectors[:2], 0), 0, 0, 1)  # what libraries take once
            found["first"].append(epoch_seconds(stepper, clips, options.device))
            found["later"].append(epoch_seconds(stepper, clips, options.device))
            found["anew"].append(epoch_seconds(stepper, vectors, options.device))
    case = {"D": dim, "T": lengths, "videos_per_step": TOGETHER, "epoch_seconds": seconds}
    medians = {name: {kind: statistics.median(values) for kind, values in found.items()}
               for name, found in seconds.items()}  # fmt: skip
    for found in medians.values():
        found[f"of {EPOCHS} epochs"] = found["first"] + (EPOCHS - 1) * found["later"]
    case["over_avg"] = {name: {kind: value / medians["avg"][kind] for kind, value in found.items()}
                        for name, found in medians.items()}  # fmt: skip
    return case


def epoch_seconds(stepper: Stepper, clips: list, device: str) -> float:
    started = synchronised(device)
    for first in range(0, len(clips), TOGETHER):
        stepper.step(stored_batch(clips[first : first + TOGETHER], first), 0, 0, 1)
    return synchronised(device) - started


def stored_batch(clips: list, first: int) -> VideoBatch:
    numbers = list(range(first, first + len(clips)))
    targets = torch.tensor(numbers) % CLASSES
    return VideoBatch([f"v{number}" for number in numbers], numbers, {"rgb": clips}, targets)


def memory(backbone: str, pool: str, frames: int, plain: bool, options: argparse.Namespace) -> dict:
    """Peak of one step in a process of its own."""
    given = {"backbone": backbone, "pool": pool, "frames": frames, "plain": plain, **vars(options)}
    command = [sys.executable, str(Path(__file__)), "--child", json.dumps(given)]
    # By default glibc keeps what was freed for later, the more the larger it was: nothing that a step needs.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    case = {"backbone": backbone, "pool": pool, "T": frames, "plain": plain}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return {**case, "not_possible": last[:200]}
    return {**case, **json.loads(done.stdout)}


def child(given: dict) -> None:
    """The process of :func:`memory`."""
    options = argparse.Namespace(**given)
    model = model_of(options.backbone, options.pool, options.size, options.device)
    size = model.streams["rgb"].frames.input_spec.size
    # Two chunks: from the second on, gradients of weights are there twice for a moment.
    small, batch = batch_of(2 * options.chunk, size), batch_of(options.frames, size)
    make = plain_run if options.plain else lambda *arguments: two_pass_run(*arguments, [])
    make(model, batch_of(2, size), options)()  # what libraries take once
    chunk = None if options.plain else peak_of(make(model, small, options), options.device)
    step = peak_of(make(model, batch, options), options.device)
    T, D = options.frames, model.streams["rgb"].frames.dim
    # Vectors of frames, their gradient, and what the backward pass of the pooling has of their size for a moment. Rank
    # pooling's come when the chunk is gone already, so that both together may be more than the peak.
    arrays = T * D * (2 * 4 + 6 * 8) + 2 * T * T * 8 if options.pool.startswith("rankpool") else 3 * T * D * 4
    found = {"megabytes": step / 1e6, "of_two_chunks": chunk and chunk / 1e6, "arrays": arrays / 1e6,
             "rest": (step - arrays) / 1e6}  # fmt: skip
    sys.stdout.write(json.dumps(found))


def peak_of(run: Callable[[], float], device: str) -> int:
    """Most bytes that a step has beyond those before it."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    Path("/proc/self/clear_refs").write_text("5")  # the kernel forgets the highest resident size so far
    before = resident("VmRSS")
    run()
    return resident("VmHWM") - before


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16", "fp16"])
    parser.add_argument("--chunk", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", type=int, default=None, help="side of the frames, by default the network's own")
    parser.add_argument("--backbone", choices=NETWORKS, action="append", help="of speed: only this one")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--quick", action="store_true", help="a tiny version, to see that it works")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(json.loads(options.child))
    if options.quick:
        options.size, options.repeats, options.chunk = 64, 1, 8
        torch.set_num_threads(1)
    lengths = [16] if options.quick else [128]
    tall = [16] if options.quick else [256, 1000, 4000]
    networks = options.backbone or NETWORKS
    results = {
        "what": __doc__.splitlines()[0],
        "settings": {name: value for name, value in vars(options).items() if name != "child"},
        "threads": torch.get_num_threads(),
    }
    kinds = [("avg", False), ("rankpool exact", False), ("rankpool exact", True)]
    parts = {
        "speed": lambda: [speed(network, frames, options) for network in networks for frames in lengths],
        "stored": lambda: stored(options),
        "memory": lambda: [memory(NETWORKS[0], pool, frames, plain, options) for pool, plain in kinds
                           for frames in tall],
    }  # fmt: skip
    results |= {name: part() for name, part in parts.items() if options.only in (None, name)}
    name = "end2end-quick" if options.quick else f"end2end-{options.device.partition(':')[0]}"
    write_results(f"{name}-{options.only}" if options.only else name, results)
    return None


if __name__ == "__main__":
    main()
