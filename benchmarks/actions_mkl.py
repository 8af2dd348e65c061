"""Multiple-kernel learning on the small action set: accuracy by the number of pyramid levels, appearance and motion.

    python benchmarks/actions_mkl.py [--work FOLDER]

The protocol and features of benchmarks/actions_accuracy.py: HOG and HOF, averaged over the nodes of pyramids of six
levels. Everything is one command, the printed one; the heat map of the weights is left in FOLDER/mkl/beta.png.
Averaging is not convex: its weights are a stationary point.
"""

import argparse
import json
import tempfile
from pathlib import Path

from actions_accuracy import MERGED, hof_features, hog_features, vidfeat, with_groups
from common import data_dir, write_results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="keep features and the run in this folder and use them again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments.work or Path(folder))


def measure(work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    manifest = with_groups(data_dir() / "actions" / "segments.csv", work / "segments.csv")
    made = {"hog": hog_features, "hof": hof_features}
    codes = [work / f"{name}-6-levels.h5" for name in made]
    command = ["--leave-one-group-out", "--merge-labels", MERGED, "--by-level"]
    if not (work / "mkl" / "results.json").exists():
        for (name, make), output in zip(made.items(), codes, strict=True):
            features = work / f"{name}.h5"
            if not features.exists():
                features = make(manifest, work)
            vidfeat("encode", features, "-o", output, "--manifest", manifest, "--pyramid", 6)
        vidfeat("mkl", "train", *codes, "-o", work / "mkl", *command)
    found = json.loads((work / "mkl" / "results.json").read_text())
    write_results(
        "actions-mkl",
        {
            "command": " ".join(["vidfeat mkl train", *(path.name for path in codes), "-o mkl", *command]),
            "C": found["C"],
            "weights": found["weights"],
            "by_level": found["by_level"],
        },
    )
    for row in found["by_level"]:
        cells = (f"{name} {cell(value)}" for name, value in row.items() if isinstance(value, dict))
        print(row["levels"], row["stream"], *cells, sep=" | ")


def cell(judged: dict) -> str:
    low, high = judged["intervals"]["accuracy"]
    return f"{100 * judged['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


if __name__ == "__main__":
    main()
