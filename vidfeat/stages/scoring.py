"""Runs that can score new videos: those with a model, and fusions of such."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vidfeat.errors import UsageError
from vidfeat.stages import fuse, runs
from vidfeat.stages.grams import PRECOMPUTED
from vidfeat.stages.tested import check_different
from vidfeat.stages.trained import TrainedRun, read_trained


@dataclass(frozen=True)
class Fusion:
    """A run of ``vidfeat fuse``, with those of its runs that weigh something."""

    folder: Path
    classes: list[str]
    normalize: str
    weights: list[float]
    runs: "list[Fusion | Single]"


class Single(NamedTuple):
    folder: Path
    model: TrainedRun

    @property
    def classes(self) -> list[str]:
        return self.model.classes


def read_scoring(folder: Path) -> Fusion | Single:
    """A run, of a fusion also its runs; UsageError if any of them cannot score videos."""
    meta = runs.read_json(folder, "model.json")
    if meta.get("format") != fuse.FORMAT:
        model = read_trained(folder)
        if model.meta["kernel"] == PRECOMPUTED:
            raise UsageError(
                f"{folder} was trained on a Gram matrix, and nobody knows how its kernel is computed from a video. "
                "Compute the kernel of the new items with its support vectors, and use 'vidfeat svm predict RUN GRAM'."
            )
        return Single(folder, model)
    known = meta.get("fingerprints") or [None] * len(meta["runs"])
    counted = [(name, own, w) for name, own, w in zip(meta["runs"], known, meta["weights"], strict=True) if w]
    places = [_member(Path(name), own, folder) for name, own, _ in counted]
    check_different(places)
    found = [read_scoring(place) for place in places]
    for place, one in zip(places, found, strict=True):
        if one.classes != meta["classes"]:
            raise UsageError(f"{place} has other classes than when {folder} was fused. Fuse its runs again.")
    return Fusion(folder, meta["classes"], meta["normalize"], [weight for *_, weight in counted], found)


def _member(named: Path, fingerprint: str | None, fused: Path) -> Path:
    """A run by the name that ``vidfeat fuse`` was given: where that leads from here, or else beside the fusion."""
    beside = fused.parent / named.name
    there = [place for place in (named, beside) if (place / "model.json").is_file()]
    if not there:
        raise UsageError(
            f"{fused} is a fusion of {named}, among others, which is neither there nor beside it ({beside}), and has "
            "no model of its own. Put the runs side by side, or fuse them again."
        )
    for place in there:
        if fingerprint in (None, fuse.fingerprint_of(place)):
            return place
    raise UsageError(
        f"{there[0]} is not the run that {fused} was fused from: it was trained anew. Fuse the runs again."
    )
