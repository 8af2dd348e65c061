"""Options of ``vidfeat mkl train|predict|eval``."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, check_positive, option, required_option
from vidfeat.stages.config.svm import SvmEvalConfig

_LEARNING = "Weights of nodes"


@dataclass(frozen=True)
class MklTrainConfig:
    """How the nodes of temporal pyramids are weighted, and on which items the classifier is tested."""

    codes: list[Path] = argument("Codes of 'vidfeat encode --pyramid L'; one file per stream.", metavar="CODES...")
    output: Path = required_option("Folder for the model, beta.json, beta.png and results.json.", short="-o")
    split: str | None = option(None, "Column that says train or test. May be left out if there is only one.")
    leave_one_group_out: bool = option(
        False, "Instead of a split: predict every group (e.g. recording) with a model trained on the others."
    )
    set: str = option("auto", "Set of codes inside the files, e.g. C=0.1 of rank pooling. auto = the only one.")
    levels: int | None = option(None, "Use the first levels of the pyramids only.")
    by_level: bool = option(
        False,
        "Also a table of accuracies for pyramids of 1, 2, … levels: uniform and simplemkl weights, concatenation and "
        "averaging; of several streams each by itself, and all together.",
    )
    merge_labels: str | None = option(
        None, "Join classes before training, e.g. down=sitdown,falling. Several joined by ';'.", metavar="NEW=A,B"
    )
    unlabelled: Literal["auto", "negative", "refuse"] = option(
        "auto",
        "Items without a label. negative: they belong to no class, as in detection; in the test they count in average "
        "precision alone. refuse: none may train, and they are left out of the test. auto = negative if some item has "
        "several labels, else refuse.",
    )
    manifest: Path | None = option(
        None, "CSV whose labels, groups and splits replace the stored ones; only its items are used."
    )
    overwrite: bool = option(False, "Replace a RUN folder that exists already.")

    method: Literal["simplemkl", "uniform", "best-level", "alternating"] = option(
        "simplemkl",
        "simplemkl: weights that minimise the SVMs' objective. uniform: all nodes alike. best-level: the nodes of one "
        "level, chosen by cross-validation. alternating: the scheme printed as Eq. 3 of Mazari and Sahbi 2020, kept "
        "for the record: it minimises over the SVMs' coefficients too, so it MAXIMISES the objective over the weights, "
        "and picks nodes that are among the worst. Never use it for results.",
        panel=_LEARNING,
    )
    combination: Literal["concatenation", "averaging"] = option(
        "concatenation",
        "Nodes side by side, or their weighted mean. Streams always stand side by side.",
        panel=_LEARNING,
    )
    kernel: Literal["linear", "rbf", "intersection"] = option("linear", "Between nodes.", panel=_LEARNING)
    gamma: float | None = option(
        None, "Of rbf; by default 1 / mean squared distance of training nodes, one for all.", panel=_LEARNING
    )
    C: str = option(
        "auto",
        "SVM: weight of the errors, for kernels of mean diagonal 1; auto = group-aware cross-validation on the "
        "training part at uniform weights over 2^-5 … 2^15, the smallest of equally good ones.",
        panel=_LEARNING,
    )
    folds: int = option(5, "Folds of the cross-validation.", panel=_LEARNING)
    beta: Literal["shared", "per-class"] = option(
        "shared", "One set of weights for all classes, or each its own.", panel=_LEARNING
    )
    simplex: Literal["stream", "all"] = option(
        "stream", "Weights sum to 1 within every stream, or over all streams.", panel=_LEARNING
    )
    centre: bool = option(
        False,
        "Scale kernels by their variance about the training mean instead of their mean squared norm; for features "
        "that are nearly the same for all items.",
        panel=_LEARNING,
    )
    tolerance: float = option(
        1e-3, "Relative duality gap (averaging: stationarity) at which the learning stops.", panel=_LEARNING
    )
    max_iter: int = option(100, "Steps at most.", panel=_LEARNING)
    memory: float = option(1.0, "GB of Gram matrices kept instead of computed anew.", panel=_LEARNING)

    def __post_init__(self) -> None:
        check_positive(self, "folds", "levels", "gamma", "tolerance", "max_iter")
        if not 0 <= self.memory < math.inf:
            raise UsageError(f"--memory is {self.memory}; it must be a finite number, 0 or more.")
        if self.C != "auto":
            try:
                valid = 0 < float(self.C) < math.inf
            except ValueError:
                valid = False
            if not valid:
                raise UsageError(f"--C is {self.C!r}; it must be a number above 0, or auto.")
        if self.gamma is not None and self.kernel != "rbf":
            raise UsageError(f"--gamma {self.gamma:g} has no effect with --kernel {self.kernel}, only with rbf.")
        if self.split is not None and self.leave_one_group_out:
            raise UsageError("--split and --leave-one-group-out contradict each other; give one of them.")


@dataclass(frozen=True)
class MklPredictConfig:
    """Scores of a trained model on other codes."""

    run: Path = argument("Folder of 'vidfeat mkl train'.", metavar="RUN")
    codes: list[Path] = argument("Codes made as in training, in the same order of streams.", metavar="CODES...")
    output: Path = required_option("CSV to write: id, label, predicted class and a score per class.", short="-o")


@dataclass(frozen=True)
class MklEvalConfig(SvmEvalConfig):
    """The figures of runs, from their predictions."""

    runs: list[Path] = argument("Folders of 'vidfeat mkl train'; several give one row each.", metavar="RUN...")
