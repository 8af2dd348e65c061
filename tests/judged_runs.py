"""RUN folders with made-up predictions, as 'vidfeat svm train' writes them but for the model."""

import csv
import json
from pathlib import Path

import numpy as np

CLASSES = ("a", "b", "c")


def make_scores(truth, noise: float, seed: int, n_classes: int = 3) -> np.ndarray:
    """Decision values ``[n, classes]`` around 1 for the true class and 0 for others."""
    random = np.random.Generator(np.random.PCG64(seed))
    return np.eye(n_classes)[truth] + noise * random.standard_normal((len(truth), n_classes))


def write_judged(
    folder: Path,
    scores,
    labels,
    *,
    groups=None,
    ids=None,
    classes=CLASSES,
    split="split1",
    sha="same",
    **more,
) -> Path:
    """``labels``: one text per item, several labels joined by ``|``. ``groups``: four items each unless given."""
    folder.mkdir(parents=True)
    n = len(labels)
    ids = [f"v{i:03d}" for i in range(n)] if ids is None else ids
    groups = [f"g{i // 4}" for i in range(n)] if groups is None else groups
    with (folder / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "split", "label", "predicted", *(f"score:{name}" for name in classes)])
        for item_id, label, row in zip(ids, labels, np.asarray(scores).tolist(), strict=True):
            writer.writerow([item_id, "test", label, classes[int(np.argmax(row))], *row])
    results = {"split": split, "n_train": 20, "n_test": n, "train_ids_sha256": sha, "C": 1.0, **more}
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "model.json").write_text(json.dumps({"format": "vidfeat-svm", "test_groups": list(groups)}))
    return folder


def names(truth, classes=CLASSES) -> list[str]:
    """Class numbers as labels."""
    return [classes[number] for number in truth]
