"""What temporal encodings are worth on real recordings: accuracy on the small action set, losses included.

    python benchmarks/actions_accuracy.py [--weights DEFAULT] [--work FOLDER]

The protocol of examples/actions.sh: 114 segments of twelve recordings, three classes (sitdown, falling and lying are
joined to *down*), leave one recording out, the SVM's C by cross-validation inside the training recordings. Everything
runs through the command line as a user would: ``extract`` or ``import``, ``encode``, ``svm train``. ``-cv`` has the C
of rank pooling chosen by the same cross-validation; everywhere else it is 2.

Features, of 8 frames per second of each segment:

* ``hog``: histograms of oriented gradients of the frame as 64×48 grey pixels; blocks of 16×16 in steps of 8, cells of
  8×8, 9 bins: 1260 numbers (OpenCV), brought in with ``vidfeat import``;
* ``fc7``: AlexNet fc7 with seeded random weights; with ``--weights`` also ``fc7-weights`` of a trained network.
* ``hof``: histograms of TV-L1 flow between 12.5 frames a second at 160×120 pixels (benchmarks/actions_flow.py), 1260
  numbers as well. ``hog+hof`` sums the two classifiers' scores.

``vlad``, ``fv`` and ``bow`` take the blocks of HOG and HOF as local features (benchmarks/actions_local.py).

The 95 % intervals are percentiles over 10,000 resamplings of whole recordings, because segments of one recording
resemble each other. The difference to ``avg`` is taken within each resampling, the same ones for all encodings.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from actions_flow import FPS as HOF_FPS
from actions_flow import fused, write_hof
from actions_local import ENCODINGS as LOCAL_ENCODINGS
from actions_local import as_maps, predictions
from common import ROOT, data_dir, write_results

from vidfeat.datasets.manifest import read_manifest
from vidfeat.media.sampling import Sampling
from vidfeat.media.stream import ItemStream
from vidfeat.media.transforms import Geometry

FPS = 8
MERGED = "down=sitdown,falling,lying"
RESAMPLINGS, SEED = 10_000, 0
HOG_WIDTH, HOG_HEIGHT = 64, 48
BASELINE = "avg"
ENCODINGS = {
    "avg": ["--method", "avg"],
    "max": ["--method", "max"],
    "rankpool-forward": ["--method", "rankpool"],
    "rankpool-reverse": ["--method", "rankpool", "--direction", "reverse"],
    "rankpool-both": ["--method", "rankpool", "--direction", "both"],
    "rankpool-both-cv": ["--method", "rankpool", "--direction", "both", "--C", "1e-3,...,1e3"],
    "approx-rankpool-forward": ["--method", "approx-rankpool"],
    "approx-rankpool-both": ["--method", "approx-rankpool", "--direction", "both"],
    "hier-rankpool": ["--method", "hier-rankpool"],
    "hier-rankpool-both": ["--method", "hier-rankpool", "--direction", "both"],
    "pyramid-avg": ["--method", "avg", "--pyramid", "3"],
    "pyramid-rankpool": ["--method", "rankpool", "--pyramid", "3"],
    "pyramid-rankpool-both": ["--method", "rankpool", "--pyramid", "3", "--direction", "both"],
}


class UnknownMethodError(Exception):
    """This version of vidfeat does not know a method of encoding."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="also the features of a trained AlexNet: a file, or DEFAULT to download")
    parser.add_argument("--encoding", choices=ENCODINGS, action="append", help="only these, beside avg")
    parser.add_argument("--work", type=Path, help="keep features and runs in this folder and reuse the features")
    parser.add_argument("--no-json", action="store_true", help="only print the table")
    arguments = parser.parse_args()
    wanted = {n: o for n, o in ENCODINGS.items() if not arguments.encoding or n in {BASELINE, *arguments.encoding}}
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        manifest = with_groups(data_dir() / "actions" / "segments.csv", work / "segments.csv")
        features = {"hog": hog_features(manifest, work), "fc7": cnn_features(manifest, work / "fc7.h5", "none")}
        if arguments.weights:
            features["fc7-weights"] = cnn_features(manifest, work / "fc7-weights.h5", arguments.weights)
        features["hof"] = hof_features(manifest, work)
        results = {name: accuracies(file, manifest, wanted, work) for name, file in features.items()}
        results["hog+hof"] = both_streams(wanted, manifest, work)
        if not arguments.encoding:
            for name, fps in (("hog", FPS), ("hof", HOF_FPS)):
                blocks = as_maps(work / name, work / f"{name}-blocks.h5", fps)
                results[name] |= local_codes(blocks, manifest, work / f"{name}-{BASELINE}", work)
    protocol = {
        "data": "actions/segments.csv, leave one recording out",
        "fps": FPS,
        "merge_labels": MERGED,
        "resamplings": RESAMPLINGS,
        "seed": SEED,
        "options": wanted,
    }
    print(markdown(results))
    if not arguments.no_json:
        write_results("actions-accuracy", {"protocol": protocol, "features": results})


def with_groups(segments: Path, output: Path) -> Path:
    """The manifest of the set with the recording as a column, for features that were imported without it, and with
    absolute paths, since it lies elsewhere."""
    with segments.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with output.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "group"])
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "path": (segments.parent / row["path"]).resolve(), "group": row["path"]})
    return output


def cnn_features(manifest: Path, output: Path, weights: str) -> Path:
    vidfeat(
        "extract",
        manifest,
        "-o",
        output,
        "--backbone",
        "alexnet",
        "--layers",
        "fc7",
        "--weights",
        weights,
        "--fps",
        FPS,
    )
    return output


def hog_features(manifest: Path, work: Path) -> Path:
    """A folder of ID.npy [T, 1260] of the frames that ``extract --fps 8`` takes, imported."""
    folder, output = work / "hog", work / "hog.h5"
    folder.mkdir(exist_ok=True)
    describe = cv2.HOGDescriptor((HOG_WIDTH, HOG_HEIGHT), (16, 16), (8, 8), (8, 8), 9)
    for item in read_manifest(manifest):
        with ItemStream(
            item.path, geometry=Geometry("keep", None, None), start=item.start, end=item.end, sampling=Sampling(fps=FPS)
        ) as stream:
            rows = [describe.compute(small_grey(pixels)).ravel() for _, _, pixels in stream]
        np.save(folder / f"{item.id}.npy", np.array(rows, dtype=np.float32))
    vidfeat("import", folder, "-o", output, "--feature", "hog", "--fps", FPS, "--overwrite")
    return output


def hof_features(manifest: Path, work: Path) -> Path:
    """A folder of ID.npy [T − 1, 1260], imported."""
    folder, output = work / "hof", work / "hof.h5"
    write_hof(manifest, folder)
    vidfeat("import", folder, "-o", output, "--feature", "hof", "--fps", HOF_FPS, "--overwrite")
    return output


def both_streams(encodings: dict[str, list[str]], manifest: Path, work: Path) -> dict:
    """Appearance and motion of the same encoding, and their difference to appearance alone."""
    results = {}
    for name in encodings:
        runs = [work / f"{feature}-{name}" for feature in ("hog", "hof")]
        if not all((run / "predictions.csv").exists() for run in runs):
            continue
        counts, alone = counted(fused(runs), manifest), per_recording(runs[0], manifest)
        results[name] = {"accuracy": total(counts), "interval": quantiles(resampled(counts))}
        results[name]["minus_hog"] = total(counts) - total(alone)
        results[name]["minus_hog_interval"] = quantiles(resampled(counts) - resampled(alone))
        print("hog+hof", name, results[name], file=sys.stderr)
    return results


def local_codes(blocks: Path, manifest: Path, baseline: Path, work: Path) -> dict:
    """As :func:`accuracies`, for encodings of local features."""
    results, average = {}, per_recording(baseline, manifest)
    for name in LOCAL_ENCODINGS:
        counts = counted(predictions(blocks, manifest, name, work), manifest)
        results[name] = {"accuracy": total(counts), "interval": quantiles(resampled(counts))}
        results[name]["minus_avg"] = total(counts) - total(average)
        results[name]["minus_avg_interval"] = quantiles(resampled(counts) - resampled(average))
        print(blocks.stem, name, results[name], file=sys.stderr)
    return results


def small_grey(pixels) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (HOG_WIDTH, HOG_HEIGHT), interpolation=cv2.INTER_AREA)


def accuracies(features: Path, manifest: Path, encodings: dict[str, list[str]], work: Path) -> dict:
    """Accuracy, its interval, and the paired difference to the baseline, per encoding."""
    correct, results = {}, {}
    for name, options in encodings.items():
        codes, run = work / f"{features.stem}-{name}.h5", work / f"{features.stem}-{name}"
        try:
            vidfeat("encode", features, "-o", codes, "--manifest", manifest, *options)
        except UnknownMethodError as reason:
            results[name] = {"not_available": str(reason)}
            print(f"{features.stem} {name}: {reason}", file=sys.stderr)
            continue
        vidfeat("svm", "train", codes, "-o", run, "--leave-one-group-out", "--merge-labels", MERGED, "--overwrite")
        correct[name] = per_recording(run, manifest)
        stored = json.loads((run / "results.json").read_text())
        results[name] = {"accuracy": total(correct[name]), "mean_per_class_accuracy": stored["mean_per_class_accuracy"]}
        if abs(stored["accuracy"] - results[name]["accuracy"]) > 1e-12:
            raise SystemExit(f"{run}: predictions.csv and results.json disagree.")
        results[name]["interval"] = quantiles(resampled(correct[name]))
        if name != BASELINE:
            results[name]["minus_avg"] = results[name]["accuracy"] - results[BASELINE]["accuracy"]
            results[name]["minus_avg_interval"] = quantiles(resampled(correct[name]) - resampled(correct[BASELINE]))
        print(features.stem, name, results[name], file=sys.stderr)
    return results


def per_recording(run: Path, manifest: Path) -> np.ndarray:
    """[recordings, 2]: segments predicted rightly, and all segments."""
    with (run / "predictions.csv").open(newline="") as file:
        return counted(csv.DictReader(file), manifest)


def counted(predictions: Iterable[dict[str, str]], manifest: Path) -> np.ndarray:
    """The same of rows id, label, predicted."""
    group_of = {item.id: item.group for item in read_manifest(manifest)}
    groups = sorted(set(group_of.values()))
    counts = np.zeros((len(groups), 2), dtype=int)
    for row in predictions:
        counts[groups.index(group_of[row["id"]])] += (row["label"] == row["predicted"], 1)
    return counts


def total(counts: np.ndarray) -> float:
    return float(counts[:, 0].sum() / counts[:, 1].sum())


def resampled(counts: np.ndarray) -> np.ndarray:
    """Accuracy in each resampling; the same recordings are drawn whatever the counts."""
    random = np.random.Generator(np.random.PCG64(SEED))
    drawn = counts[random.integers(len(counts), size=(RESAMPLINGS, len(counts)))].sum(axis=1)
    return drawn[:, 0] / drawn[:, 1]


def quantiles(values: np.ndarray) -> list[float]:
    return [float(value) for value in np.quantile(values, [0.025, 0.975])]


def vidfeat(*command) -> None:
    """Run the command line. A method it does not know is UnknownMethodError, other failures end the benchmark."""
    result = subprocess.run(
        [sys.executable, "-m", "vidfeat.cli.main", *map(str, command), "-q"], cwd=ROOT, capture_output=True, text=True
    )
    if result.returncode == 2 and "--method" in result.stderr:
        raise UnknownMethodError(f"this vidfeat encode has no {' '.join(map(str, command[6:8]))}")
    if result.returncode:
        raise SystemExit(f"vidfeat {' '.join(map(str, command))} failed:\n{result.stderr}")


def markdown(results: dict) -> str:
    return "\n".join(rows_of_table(results))


def rows_of_table(results: dict) -> Iterator[str]:
    yield "| feature | encoding | accuracy % [95 %] | minus avg (of hog+hof: minus hog), points [95 %] |"
    yield "|---|---|---|---|"
    for feature, encodings in results.items():
        for name, result in encodings.items():
            if "accuracy" not in result:
                yield f"| {feature} | {name} | not available | |"
                continue
            low, high = result["interval"]
            cells = f"{result['accuracy']:.1%} [{low:.1%}, {high:.1%}] |".replace("%", "")
            other = "hog" if feature == "hog+hof" else BASELINE
            if f"minus_{other}" in result:
                low, high = result[f"minus_{other}_interval"]
                cells += f" {100 * result[f'minus_{other}']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
            yield f"| {feature} | {name} | {cells} |"


if __name__ == "__main__":
    main()
