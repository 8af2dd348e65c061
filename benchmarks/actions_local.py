"""VLAD, Fisher vectors and bags of words for benchmarks/actions_accuracy.py, each fold with a codebook of its own.

A HOG or HOF descriptor is 5 × 7 blocks of 36 numbers: as many local features of a frame. For every recording that is
left out the codebook is learnt from the others (``codebook train`` on a split of its own), as a codebook of all would
have seen what is tested.
"""

import csv
from pathlib import Path

import numpy as np

from vidfeat import progress
from vidfeat.datasets.manifest import read_manifest
from vidfeat.stages import codebook, encode, import_, svm
from vidfeat.stages.config.codebook import CodebookTrainConfig
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.config.files import ImportConfig
from vidfeat.stages.config.svm import SvmTrainConfig

BLOCKS, WIDTH = (5, 7), 36
ENCODINGS = {
    "vlad": ({"kind": "vlad", "words": 32}, {"method": "vlad"}),
    "vlad-pyramid": ({"kind": "vlad", "words": 32}, {"method": "vlad", "pyramid": 3}),
    "fv": ({"kind": "fv", "words": 32, "components": 18}, {"method": "fv"}),
    "fv-pyramid": ({"kind": "fv", "words": 32, "components": 18}, {"method": "fv", "pyramid": 3}),
    "bow": ({"kind": "bow", "words": 256}, {"method": "bow"}),
    "bow-pyramid": ({"kind": "bow", "words": 256}, {"method": "bow", "pyramid": 3}),
}
MERGED = "down=sitdown,falling,lying"


def as_maps(descriptors: Path, output: Path, fps: float) -> Path:
    """A folder of ID.npy [T, 1260] as a features file of maps [T, 36, 5, 7]."""
    folder = output.with_suffix("")
    folder.mkdir(exist_ok=True)
    for path in descriptors.glob("*.npy"):
        # OpenCV's HOG goes down the columns of blocks, ours along the rows: which block is which does not matter here.
        blocks = np.load(path).reshape(-1, BLOCKS[0] * BLOCKS[1], WIDTH)
        np.save(folder / path.name, blocks.transpose(0, 2, 1).reshape(-1, WIDTH, *BLOCKS).copy())
    import_.run(ImportConfig(sources=[folder], output=output, feature="blocks", fps=fps, overwrite=True))
    return output


def predictions(features: Path, manifest: Path, encoding: str, work: Path) -> list[dict[str, str]]:
    """Rows id, label, predicted of all recordings, each predicted by what was learnt from the others."""
    learn, options = ENCODINGS[encoding]
    groups = sorted({item.group for item in read_manifest(manifest)})
    splits = with_splits(manifest, groups, work / "folds.csv")
    rows: list[dict[str, str]] = []
    progress.set_enabled(False)
    for number in range(len(groups)):
        name = work / f"{features.stem}-{encoding}-{number:02}"
        book, codes, fold = Path(f"{name}.book.h5"), Path(f"{name}.h5"), {"manifest": splits}
        codebook.train(CodebookTrainConfig(source=features, output=book, **learn, **fold, split=f"split{number}"))
        encode.run(EncodeConfig(features=features, output=codes, **options, **fold, codebook=[book]))
        svm.train(SvmTrainConfig(codes=codes, output=name, split=f"split{number}", merge_labels=MERGED, overwrite=True))
        with (name / "predictions.csv").open(newline="") as file:
            rows += [row for row in csv.DictReader(file) if row["split"] == "test"]
    return rows


def with_splits(manifest: Path, groups: list[str], output: Path) -> Path:
    """The manifest with a split for every recording, whose test part it is."""
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {name: index for index, name in enumerate(f"split{number}" for number in range(len(groups)))}
    kept = [name for name in rows[0] if not name.startswith("split")]
    with output.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*kept, *columns])
        writer.writeheader()
        for row in rows:
            parts = {name: "test" if groups[index] == row["group"] else "train" for name, index in columns.items()}
            writer.writerow({**{name: row[name] for name in kept}, **parts})
    return output
