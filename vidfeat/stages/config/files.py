"""Options of the commands that look at, join and convert files: info, verify, diff, merge, import, export, layers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, check_positive, option, required_option

FLOW_FORMS = ("jpg", "flo")


@dataclass(frozen=True)
class InfoConfig:
    """What a features or codes file holds; works while a run is writing it."""

    file: Path = argument("Features or codes file.", metavar="FILE")


@dataclass(frozen=True)
class VerifyConfig:
    """Read every byte of a file and check it."""

    files: list[Path] = argument("Features files, shards or parts.", metavar="FILE...")


@dataclass(frozen=True)
class DiffConfig:
    """How two features files differ."""

    first: Path = argument("Features file.", metavar="A")
    second: Path = argument("Features file to compare with it.", metavar="B")
    tolerance: float = option(1e-5, "Largest difference that counts as equal, as a share of the feature's spread.")

    def __post_init__(self) -> None:
        check_positive(self, "tolerance")


@dataclass(frozen=True)
class MergeConfig:
    """Join the shards of one extraction."""

    shards: list[Path] = argument("The files of 'extract --shard', all of them.", metavar="SHARD...")
    output: Path = required_option("Features file to write.", short="-o")
    link: bool = option(False, "Write a file of links to the shards instead of copying; the shards must then stay.")
    partial: bool = option(False, "Accept missing shards.")
    overwrite: bool = option(False, "Replace OUTPUT if it exists.")


@dataclass(frozen=True)
class ImportConfig:
    """Turn features made by other tools into a features file."""

    sources: list[Path] = argument("Folders of .npy files [T,D], HDF5 files, or LIBSVM text.", metavar="SOURCE...")
    output: Path = required_option("Features file to write; with libsvm a codes file.", short="-o")
    kind: Literal["npy", "activitynet", "hloc", "libsvm"] = option(
        "npy",
        "npy: ID.npy [T,D]; activitynet: /ID/c3d_features or /ID; hloc: /path/to/image.jpg/global_descriptor; libsvm: "
        "codes, a line each, with ids and labels from SOURCE.items.csv if that is there.",
    )
    feature: str = option("feature", "Name for arrays that have none of their own (npy, bare /ID).")
    fps: float | None = option(None, "Rows per second: row k is at k/FPS seconds. By default row k is at k seconds.")
    overwrite: bool = option(False, "Replace OUTPUT if it exists.")

    def __post_init__(self) -> None:
        check_positive(self, "fps")
        if self.kind == "libsvm" and (self.fps is not None or self.feature != "feature"):
            raise UsageError("--fps and --feature have no effect with --kind libsvm, whose lines are codes.")
        if self.kind == "libsvm" and len(self.sources) != 1:
            raise UsageError(f"--kind libsvm takes one file; {len(self.sources)} came.")


@dataclass(frozen=True)
class ExportConfig:
    """Write features of every item for other tools."""

    features: Path = argument("Features file; with libsvm a codes file.", metavar="FEATS")
    output: Path = required_option(
        "Folder (npy, jpg, flo) or file (csv, hdf5, hdf5-bare, libsvm) to write.", short="-o"
    )
    form: Literal["npy", "csv", "hdf5", "hdf5-bare", "jpg", "flo", "libsvm"] = option(
        "npy",
        "npy: OUTPUT/FEATURE/ID.npy; csv: one table with id, time, frame and the vector; hdf5: /ID/FEATURE; "
        "hdf5-bare: /ID is the [T,…] array itself. Of flow also jpg: OUTPUT/ID/flow_x_00000.jpg and flow_y_00000.jpg, "
        "and flo: OUTPUT/ID/flow_00000.flo (pixels); both with OUTPUT/ID/flow.json, the times of the fields. Of codes "
        "libsvm: '<class> <dimension>:<value> …', dimensions from 1, with OUTPUT.items.csv, ids, labels and splits.",
    )
    feature: str | None = option(
        None,
        "Which features, comma-separated. By default all; csv and hdf5-bare take one, jpg and flo only flow, libsvm "
        "the name of a set.",
    )
    start_index: int = option(0, "Number of the first field in the names of jpg and flo; some tools count from 1.")
    bound: float | None = option(
        None, "With jpg, for flow stored as float16: pixels of motion that become 0 and 255, such as 20."
    )
    overwrite: bool = option(False, "Replace OUTPUT if it exists.")

    def __post_init__(self) -> None:
        check_positive(self, "bound")
        if self.start_index < 0:
            raise UsageError(f"--start-index is {self.start_index}; it must be 0 or more.")
        if self.bound is not None and self.form != "jpg":
            raise UsageError(f"--bound {self.bound:g} has no effect with --form {self.form}, only with jpg.")
        if self.start_index and self.form not in FLOW_FORMS:
            raise UsageError(
                f"--start-index {self.start_index} has no effect with --form {self.form}, only with "
                f"{' and '.join(FLOW_FORMS)}."
            )


@dataclass(frozen=True)
class LayersConfig:
    """Layers of a network that 'extract --layers' takes."""

    backbone: str | None = argument(
        "Torchvision network; without one, all networks are listed.", metavar="BACKBONE", default=None
    )
    all: bool = option(False, "Every node of the graph, not only the friendly names.")


@dataclass(frozen=True)
class PredictConfig:
    """From new videos to labels with the extraction, encoding and model of a run."""

    run: Path = argument("Folder of 'vidfeat svm train', 'mkl train', or 'fuse' of such runs.", metavar="RUN")
    inputs: list[Path] = argument(
        "Videos, directories or manifests; or features files that were extracted as those of the run.", metavar="IN..."
    )
    output: Path | None = option(
        None, "Also write a CSV with id, label, predicted class and a score per class.", short="-o"
    )
    weights: str | None = option(None, "Weights file, if it is no longer where the extraction found it.")
    device: str = option("auto", "cpu, cuda:0, …; auto = a GPU if there is one.")
    top: int = option(3, "How many classes to print per item.")

    def __post_init__(self) -> None:
        check_positive(self, "top")


@dataclass(frozen=True)
class DemoConfig:
    """The whole path on a small set of videos made on the spot."""

    output: Path = option(Path("demo-out"), "Folder for videos, features, codes and runs.", short="-o")
    device: str = option("auto", "cpu, cuda:0, …; auto = a GPU if there is one.")


@dataclass(frozen=True)
class DoctorConfig:
    """Check that this installation can do its work."""
