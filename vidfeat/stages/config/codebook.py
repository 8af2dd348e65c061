"""Options of ``vidfeat codebook train|apply|info``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, check_positive, flag_of, option, required_option

LOCAL = "Local features: vlad, fv, bow"
PCA = "Reduction of codes: pca"

WORDS = {"vlad": 100, "fv": 256, "bow": 1000}
_FOR_LOCAL = ("seed", "feature", "words", "samples", "no_local_norm", "device")
_FOR_PCA = ("set", "no_whiten", "regularization")


@dataclass(frozen=True)
class CodebookTrainConfig:
    """What is learnt, and from which items."""

    source: Path = argument("Features file, or for --kind pca a codes file.", metavar="FEATS|CODES")
    output: Path = required_option("Codebook to write (HDF5). An older codebook is replaced.", short="-o")
    kind: Literal["vlad", "fv", "bow", "pca"] = required_option(
        "vlad and bow: k-means; fv: Gaussian mixture; pca: principal components of codes."
    )
    components: int | None = option(
        None, "Dimensions that PCA leaves: of local features (64 for fv, all for vlad and bow), or of codes (128)."
    )
    split: str | None = option(
        None,
        "Column of the training split: only its items of value train are used. May be left out if there is only "
        "one, or none.",
    )
    all_items: bool = option(False, "Use every item, whatever splits there are.")
    manifest: Path | None = option(None, "CSV whose splits replace the stored ones; only its items are used.")

    feature: str | None = option(
        None, "Which feature of the file, e.g. conv5. May be left out if there is only one.", panel=LOCAL
    )
    words: int | None = option(
        None, "Visual words, or Gaussians: by default 100 for vlad, 256 for fv, 1000 for bow.", panel=LOCAL
    )
    samples: int = option(100_000, "Local features to draw, from each item by its share.", panel=LOCAL)
    seed: int = option(0, "Seed of drawing samples and of k-means.", panel=LOCAL)
    no_local_norm: bool = option(
        False, "Take local features as they are, without scaling each to L2 norm 1.", panel=LOCAL
    )
    device: str = option("cpu", "cpu, cuda or cuda:N.", panel=LOCAL)

    set: str = option("default", "Set of codes inside the file.", panel=PCA)
    no_whiten: bool = option(False, "Leave components their spread.", panel=PCA)
    regularization: float = option(
        1e-6, "Share of the largest eigenvalue that is added to each before whitening.", panel=PCA
    )

    def __post_init__(self) -> None:
        check_positive(self, "components", "words", "samples")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; it must be 0 or more.")
        if self.regularization < 0:
            raise UsageError(f"--regularization is {self.regularization}; it must be 0 or more.")
        if self.split is not None and self.all_items:
            raise UsageError("--split and --all-items contradict each other; give one of them.")
        for name in _FOR_LOCAL if self.kind == "pca" else _FOR_PCA:
            if getattr(self, name) != getattr(type(self), name):
                kinds = ", ".join(WORDS) if self.kind == "pca" else "pca"
                raise UsageError(
                    f"{flag_of(name)} has no effect with --kind {self.kind}, only with {kinds}. Leave it out."
                )


@dataclass(frozen=True)
class CodebookApplyConfig:
    """Codes reduced by a codebook of kind pca."""

    codebook: Path = argument("Codebook of 'vidfeat codebook train --kind pca'.", metavar="BOOK")
    codes: Path = argument("Codes file to reduce.", metavar="CODES")
    output: Path = required_option("Codes file to write. Older codes are replaced.", short="-o")


@dataclass(frozen=True)
class CodebookInfoConfig:
    """Which codebook to describe."""

    codebook: Path = argument("File of 'vidfeat codebook train'.", metavar="BOOK")
