"""Histograms of optical flow for benchmarks/actions_accuracy.py, and the fusion of two runs."""

import csv
from pathlib import Path

import cv2
import numpy as np

from vidfeat.datasets.manifest import read_manifest
from vidfeat.flow import tvl1
from vidfeat.media.sampling import Sampling
from vidfeat.media.stream import ItemStream
from vidfeat.media.transforms import Geometry

FPS = 12.5
WIDTH, HEIGHT, CELL, BINS = 160, 120, 20, 8
STILL = 0.2  # pixels


def describe(flow: np.ndarray) -> np.ndarray:
    """Histograms of a field [2, 120, 160]: 1260 numbers, laid out as the ``hog`` ones.

    Cells of 20 × 20 pixels; 8 directions, to the two nearest of which each pixel gives the length of its motion, and a
    ninth bin that counts pixels at rest. Blocks of 2 × 2 cells in steps of one are L2-normalised.
    """
    length, angle = np.hypot(*flow), np.arctan2(flow[1], flow[0]) * BINS / (2 * np.pi)
    low = np.floor(angle)
    share = angle - low
    planes = np.zeros((BINS + 1, *length.shape), np.float32)
    moves = length > STILL
    planes[BINS] = ~moves
    y, x = np.indices(length.shape)
    for place, weight in ((low, 1 - share), (low + 1, share)):
        planes[place.astype(int) % BINS, y, x] += np.where(moves, weight * length, 0)
    cells = planes.reshape(BINS + 1, HEIGHT // CELL, CELL, WIDTH // CELL, CELL).sum(axis=(2, 4))
    blocks = np.stack(
        [cells[:, i : i + cells.shape[1] - 1, j : j + cells.shape[2] - 1] for i in (0, 1) for j in (0, 1)]
    )
    blocks = blocks / (np.sqrt((blocks**2).sum(axis=(0, 1))) + 1e-3)
    return blocks.transpose(2, 3, 0, 1).ravel()


def write_hof(manifest: Path, folder: Path) -> None:
    """A file ID.npy [T − 1, 1260] of each segment."""
    folder.mkdir(exist_ok=True)
    for item in read_manifest(manifest):
        geometry, sampling = Geometry("keep", None, None), Sampling(fps=FPS)
        with ItemStream(item.path, geometry=geometry, start=item.start, end=item.end, sampling=sampling) as stream:
            frames = np.stack([_small_grey(pixels) for _, _, pixels in stream])
        rows = [describe(flow) for flow in tvl1(frames[:-1], frames[1:])]
        np.save(folder / f"{item.id}.npy", np.array(rows, dtype=np.float32))


def _small_grey(pixels) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def fused(runs: list[Path]) -> list[dict[str, str]]:
    """Rows id, label, predicted, where the class is the one of the largest sum of scores, each run's L1-normalised."""
    scores: dict[str, dict[str, float]] = {}
    labels = {}
    for run in runs:
        with (run / "predictions.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                labels[row["id"]] = row["label"]
                own = {name[6:]: float(value) for name, value in row.items() if name.startswith("score:")}
                size = sum(map(abs, own.values())) or 1.0
                total = scores.setdefault(row["id"], dict.fromkeys(own, 0.0))
                for name, value in own.items():
                    total[name] += value / size
    return [{"id": k, "label": labels[k], "predicted": max(v, key=v.get)} for k, v in scores.items()]
