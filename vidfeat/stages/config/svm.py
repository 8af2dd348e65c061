"""Options of ``vidfeat svm train|predict|eval``."""

import math
from dataclasses import dataclass
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, check_positive, option, required_option


@dataclass(frozen=True)
class SvmTrainConfig:
    """How a classifier is trained on codes, and on which items it is tested."""

    codes: Path = argument("Codes file of 'vidfeat encode'.", metavar="CODES")
    output: Path = required_option("Folder for the model, predictions.csv and results.json.", short="-o")
    split: str | None = option(None, "Column that says train or test. May be left out if there is only one.")
    leave_one_group_out: bool = option(
        False, "Instead of a split: predict every group (e.g. recording) with a model trained on the others."
    )
    set: str = option(
        "auto",
        "Set of codes inside the file, e.g. C=0.1 of rank pooling. auto = the only one; of several, the best in the "
        "cross-validation that also chooses the SVM's C; equally good: the one with the smallest value of C.",
    )
    C: str = option(
        "auto",
        "SVM: weight of the errors; auto = group-aware cross-validation on the training part over 2^-5 … 2^15, the "
        "smallest of equally good ones.",
    )
    folds: int = option(5, "Folds of that cross-validation.")
    merge_labels: str | None = option(
        None, "Join classes before training, e.g. down=sitdown,falling. Several joined by ';'.", metavar="NEW=A,B"
    )
    manifest: Path | None = option(
        None, "CSV whose labels, groups and splits replace the stored ones; only its items are used."
    )
    overwrite: bool = option(False, "Replace a RUN folder that exists already.")

    def __post_init__(self) -> None:
        check_positive(self, "folds")
        if self.C != "auto":
            try:
                valid = 0 < float(self.C) < math.inf
            except ValueError:
                valid = False
            if not valid:
                raise UsageError(f"--C is {self.C!r}; it must be a number above 0, or auto.")
        if self.split is not None and self.leave_one_group_out:
            raise UsageError("--split and --leave-one-group-out contradict each other; give one of them.")


@dataclass(frozen=True)
class SvmPredictConfig:
    """Scores of a trained model on other codes."""

    run: Path = argument("Folder of 'vidfeat svm train'.", metavar="RUN")
    codes: Path = argument("Codes file made with the same extraction and encoding.", metavar="CODES")
    output: Path = required_option("CSV to write: id, label, predicted class and a score per class.", short="-o")


@dataclass(frozen=True)
class SvmEvalConfig:
    """The figures of runs, from their predictions."""

    runs: list[Path] = argument("Folders of 'vidfeat svm train'; several give one row each.", metavar="RUN...")
    bootstrap: int = option(2000, "Resamplings of whole groups for the 95 % intervals; 0 = none.")
    seed: int = option(0, "Seed of the resampling.")

    def __post_init__(self) -> None:
        if self.bootstrap < 0:
            raise UsageError(f"--bootstrap is {self.bootstrap}; it must be 0 or more.")
