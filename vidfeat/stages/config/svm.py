"""Options of ``vidfeat svm train|predict|eval``."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, check_positive, option, required_option

# Training items beyond which a linear SVM does without a Gram matrix, and from which it is kept in float32.
LIBLINEAR_FROM = 20_000
FLOAT32_FROM = 10_000
# Items from which a GPU is worth the seconds that torch takes to start.
GPU_FROM = 4000


@dataclass(frozen=True)
class SvmTrainConfig:
    """How a classifier is trained on codes, and on which items it is tested."""

    codes: list[Path] = argument(
        "Codes files of 'vidfeat encode'; of several with the same items the kernels are added.", metavar="CODES..."
    )
    output: Path = required_option("Folder for the model, predictions.csv and results.json.", short="-o")
    split: str | None = option(None, "Column that says train or test. May be left out if there is only one.")
    leave_one_group_out: bool = option(
        False, "Instead of a split: predict every group (e.g. recording) with a model trained on the others."
    )
    set: str = option(
        "auto",
        "Set of codes inside the file, e.g. C=0.1 of rank pooling. auto = the only one; of several, the best in the "
        "cross-validation that also chooses the SVM's C; equally good: the one with the smallest value of C. With "
        "several CODES, one name for all or one for each, comma-separated.",
    )
    kernel: Literal["linear", "rbf", "chi2", "chi2-additive", "hellinger", "intersection", "precomputed"] = option(
        "linear",
        "linear; rbf: exp(-γ|x-y|²); chi2 (exponential): exp(-γ Σ(x-y)²/(x+y)); chi2-additive: Σ 2xy/(x+y); "
        "hellinger: Σ √(xy); intersection: Σ min(x,y). All but the first two need codes ≥ 0. precomputed: CODES are "
        "Gram matrices, .npz or HDF5 with arrays gram [N,N] and ids [N], and --manifest has the labels.",
    )
    gamma: str = option(
        "mean",
        "γ of rbf and chi2: mean = 1 / mean distance of the training items; auto = 1/4 … 4 times that, chosen together "
        "with C by the cross-validation; or a number.",
    )
    multiclass: Literal["ovr", "ovo"] = option(
        "ovr", "ovr: every class against the rest; ovo: every pair of classes, as LIBSVM does it."
    )
    class_weights: Literal["none", "balanced"] = option(
        "none", "balanced: errors weigh more on the side with fewer items, so that both sides weigh the same."
    )
    C: str = option(
        "auto",
        "SVM: weight of the errors; auto = group-aware cross-validation on the training part over 2^-5 … 2^15, the "
        "smallest of equally good ones.",
    )
    folds: int = option(5, "Folds of that cross-validation.")
    probabilities: bool = option(
        False, "Also write a probability per class: Platt's sigmoids, fitted to scores of held-out groups."
    )
    solver: Literal["auto", "libsvm", "liblinear"] = option(
        "auto",
        "libsvm: exact, one Gram matrix of all training items; liblinear: linear only, no Gram matrix; auto = "
        f"liblinear for linear SVMs (ovr) of more than {LIBLINEAR_FROM} training items, else libsvm.",
    )
    gram_precision: Literal["auto", "float64", "float32"] = option(
        "auto", f"Type that the Gram matrix is kept in; auto = float32 from {FLOAT32_FROM} items, else float64."
    )
    device: str = option(
        "auto",
        f"Where the Gram matrix is computed: cpu, cuda:0, …; auto = a GPU if there is one, from {GPU_FROM} items.",
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

    def __post_init__(self) -> None:
        check_positive(self, "folds")
        _as_list(self, "codes")
        _check_number_or(self.C, "--C", ("auto",))
        _check_number_or(self.gamma, "--gamma", ("mean", "auto"))
        if self.gamma != "mean" and self.kernel not in ("rbf", "chi2"):
            raise UsageError(f"--gamma {self.gamma} has no effect with --kernel {self.kernel}, only with rbf and chi2.")
        if self.kernel == "precomputed":
            self._check_precomputed()
        if self.split is not None and self.leave_one_group_out:
            raise UsageError("--split and --leave-one-group-out contradict each other; give one of them.")
        if self.probabilities and self.multiclass == "ovo":
            raise UsageError(
                "--probabilities calibrates the decision values of one-vs-rest machines; it does not go with "
                "--multiclass ovo. Leave one of them away."
            )
        if self.solver == "liblinear" and (self.kernel != "linear" or self.multiclass != "ovr"):
            raise UsageError(
                f"--solver liblinear knows linear one-vs-rest machines only, not --kernel {self.kernel} --multiclass "
                f"{self.multiclass}. Use --solver libsvm."
            )

    def _check_precomputed(self) -> None:
        if self.manifest is None:
            raise UsageError("--kernel precomputed needs --manifest: a Gram matrix has ids, but no labels or splits.")
        for name, default in (("set", "auto"), ("gram_precision", "auto"), ("device", "auto")):
            if (value := getattr(self, name)) != default:
                flag = name.replace("_", "-")
                raise UsageError(f"--{flag} {value} has no effect with --kernel precomputed. Leave it out.")


@dataclass(frozen=True)
class SvmPredictConfig:
    """Scores of a trained model on other codes."""

    run: Path = argument("Folder of 'vidfeat svm train'.", metavar="RUN")
    codes: list[Path] = argument(
        "Codes files made with the same extraction and encoding; as many as were trained on, in that order. Of a "
        "precomputed kernel Gram matrices [m,n], with ids of the rows, and of the training items as columns.",
        metavar="CODES...",
    )
    output: Path = required_option("CSV to write: id, label, predicted class and a score per class.", short="-o")

    def __post_init__(self) -> None:
        _as_list(self, "codes")


@dataclass(frozen=True)
class SvmEvalConfig:
    """The figures of runs, from their predictions."""

    runs: list[Path] = argument("Folders of 'vidfeat svm train'; several give one row each.", metavar="RUN...")
    bootstrap: int = option(2000, "Resamplings of whole groups for the 95 % intervals; 0 = none.")
    seed: int = option(0, "Seed of the resampling.")

    def __post_init__(self) -> None:
        if self.bootstrap < 0:
            raise UsageError(f"--bootstrap is {self.bootstrap}; it must be 0 or more.")


def _as_list(config: object, name: str) -> None:
    """A single path, as Python callers may give it, becomes a list of one."""
    value = getattr(config, name)
    if isinstance(value, (str, Path)):
        object.__setattr__(config, name, [Path(value)])


def _check_number_or(text: str, flag: str, words: tuple[str, ...]) -> None:
    if text in words:
        return
    try:
        valid = 0 < float(text) < math.inf
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"{flag} is {text!r}; it must be a number above 0, or {' or '.join(words)}.")
