"""Frames per second of ``vidfeat extract`` against the loop a user would write (benchmarks/user_loop.py).

    python benchmarks/extract.py [--repeats 3] [--network resnet50]

Whole processes, start-up included, on the same files and the same weights, A B A B. Beside the ratio stand two
differences, ‖f − g‖ / ‖g − mean(g)‖: of the networks on identical pixels, and of the two files' features, which also
holds the two decoders' and resizers' rounding.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torchvision
from common import ROOT, data_dir, machine, paired_seconds, ratios, write_results
from torchvision.models.feature_extraction import create_feature_extractor

import vidfeat
from vidfeat.features import Extractor
from vidfeat.features.backbones import build
from vidfeat.features.random_weights import random_state
from vidfeat.features.tracing import trace
from vidfeat.media.stream import ItemStream
from vidfeat.media.transforms import Geometry, stack_frames

NETWORKS = {
    "alexnet": {"layer": "fc7", "node": "classifier.5", "bars": {"fp32": 1.4, "bf16": 2.2}},
    "resnet50": {"layer": "avgpool", "node": "flatten", "bars": {"fp32": 1.8, "bf16": 4.0}},
}
VIDEOS = {
    "alexnet": ["videos/arm_wrestling_340x256.mp4", "videos/v_GGSY1Qvo990.mp4", "actions/20200628_183032.mp4"],
    "resnet50": ["videos/arm_wrestling_340x256.mp4", "videos/v_GGSY1Qvo990.mp4"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--network", choices=NETWORKS, action="append")
    arguments = parser.parse_args()
    facts = machine()
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    precisions = ["fp32"] + (["bf16"] if device != "cpu" or facts["cpu_flags"]["avx512_bf16"] else [])
    skipped = [] if "bf16" in precisions else ["bf16: this CPU has no avx512_bf16"]
    for network in arguments.network or NETWORKS:
        result = benchmark(network, precisions, device, arguments.repeats)
        write_results(f"extract-{network}", {"device": device, "not_measured": skipped, "networks": {network: result}})


def benchmark(network: str, precisions: list[str], device: str, repeats: int) -> dict:
    spec = NETWORKS[network]
    videos = [data_dir() / name for name in VIDEOS[network]]
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pth"
        save_seeded_weights(network, weights)
        loop_output = Path(folder) / "loop.npz"
        loop = [
            sys.executable,
            str(ROOT / "benchmarks/user_loop.py"),
            network,
            spec["node"],
            str(weights),
            str(loop_output),
            device,
        ]
        runs = {"loop": lambda: timed([*loop, *map(str, videos)])}
        for precision in precisions:
            command = [
                sys.executable,
                "-m",
                "vidfeat.cli.main",
                "extract",
                *map(str, videos),
                "-o",
                f"{folder}/{precision}.h5",
            ]
            command += [
                "--backbone",
                network,
                "--layers",
                spec["layer"],
                "--weights",
                str(weights),
                "--precision",
                precision,
            ]
            command += ["--device", device, "--overwrite", "-q"]
            runs[precision] = lambda command=command: timed(command)
        seconds = paired_seconds(runs, repeats)
        reference = dict(np.load(loop_output))
        frames = sum(len(rows) for rows in reference.values())
        result = {
            "videos": VIDEOS[network],
            "frames": frames,
            "loop": {"seconds": seconds["loop"], "frames_per_s": frames / float(np.median(seconds["loop"]))},
        }
        for precision in precisions:
            ours = read_features(Path(f"{folder}/{precision}.h5"), spec["layer"])
            result[precision] = {
                "seconds": seconds[precision],
                "frames_per_s": frames / float(np.median(seconds[precision])),
                "speedup": ratios(seconds["loop"], seconds[precision]),
                "bar": spec["bars"][precision],
                "bar_same_pixels": {"fp32": 1e-3, "bf16": 0.15}[precision],
                "difference_same_pixels": same_pixels(network, spec, weights, precision, device),
                "difference_files": spread_difference(ours, reference),
            }
            print(network, precision, result[precision], file=sys.stderr)
    return result


def save_seeded_weights(network: str, path: Path) -> None:
    """The values of ``--weights none`` as a file that both sides load."""
    state = torchvision.models.get_model(network, weights=None).state_dict()
    state.update(random_state(trace(build(network)), seed=0))
    torch.save(state, path)


def timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def read_features(path: Path, layer: str) -> dict[str, np.ndarray]:
    with vidfeat.open_features(path) as stored:
        return {item_id.rsplit("/", 1)[-1]: stored[item_id][layer] for item_id in stored.ids}


def spread_difference(ours: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> float:
    f = np.concatenate([ours[name] for name in sorted(reference)]).astype(np.float64)
    g = np.concatenate([reference[name] for name in sorted(reference)]).astype(np.float64)
    return float(np.linalg.norm(f - g) / np.linalg.norm(g - g.mean(axis=0)))


def same_pixels(network: str, spec: dict, weights: Path, precision: str, device: str) -> float:
    """Our network against plain torchvision on 32 frames of real video, the very same uint8 pixels."""
    extractor = Extractor(network, [spec["layer"]], weights=str(weights), device=device, precision=precision)
    size = extractor.input_spec
    geometry = Geometry("crop", size.shorter_side, size.size, False, size.interpolation, size.antialias)
    with ItemStream(data_dir() / VIDEOS[network][0], geometry=geometry) as stream:
        pixels = stack_frames([frame for _, _, frame in stream][::9][:32])
    ours = extractor.submit(pixels).result()[spec["layer"]]
    plain = torchvision.models.get_model(network, weights=None)
    plain.load_state_dict(torch.load(weights, weights_only=True))
    plain = create_feature_extractor(plain.eval(), {spec["node"]: "out"})
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (size.mean, size.std))
    with torch.no_grad():
        reference = plain((pixels.float() / 255 - mean) / std)["out"].flatten(1).numpy()
    return spread_difference({"": ours}, {"": reference})


if __name__ == "__main__":
    main()
