"""``vidfeat encode``: one vector per item from the features of its frames."""

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidfeat.errors import ItemError, StorageError, UsageError
from vidfeat.progress import Progress
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.encoding import Encoding, Frames, StoredFrames, encoding_of, set_names
from vidfeat.stages.failures import Failure, write_failures
from vidfeat.stages.lanes import cores, in_lanes
from vidfeat.stages.relabel import Annotation, Relabelling
from vidfeat.store import CodesWriter, FeatureFile, open_codes, open_features
from vidfeat.store.codebook import read_codebook

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class EncodeSummary:
    """What was encoded: ``dimension`` is the length of one code of one set."""

    output: Path
    items: int
    dimension: int
    feature: str
    sets: list[str]
    failures: list[Failure] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return 1 if self.failures else 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "output": str(self.output),
            "items": self.items,
            "dimension": self.dimension,
            "feature": self.feature,
            "sets": self.sets,
            "failures": [vars(failure) for failure in self.failures],
        }


def run(config: EncodeConfig) -> EncodeSummary:
    """Encode every item of a features file, a few at a time, so that memory does not grow with their number."""
    failures: list[Failure] = []
    dimension = 0
    with open_features(config.features) as features:
        check_output(config.output, config.features)
        names = choose_features(features, config)
        encoding = Encoding(config)
        if config.codebook:
            from vidfeat.stages.books import check_books  # encoders take their time to import

            check_books(config.codebook, features, names)
        relabel = Relabelling(config.manifest, features.ids)
        ids = relabel.ids
        provenance = {
            "features": features.settings,
            "extraction": extraction_options(features.run),
            "features_fingerprint": features.fingerprint,
            "feature": ",".join(names),
            "encode": encoding_of(config),
        }
        if config.reduce is not None:
            from vidfeat.stages.books import check_reduction

            own = {**provenance, "codebooks": encoding.fingerprints[:-1]}
            check_reduction(config.reduce, read_codebook(config.reduce), own)
        if encoding.fingerprints:
            provenance["codebooks"] = encoding.fingerprints
        with CodesWriter(config.output, provenance) as codes, Progress(len(ids)) as progress:
            waiting: deque[tuple[str, Annotation]] = deque()

            def frames() -> Iterator[list[Frames] | ItemError | StorageError]:
                for item_id in ids:
                    annotation, item = _item_or_error(features, item_id, names, encoding.in_pieces)
                    waiting.append((item_id, annotation))
                    yield item

            for future in in_lanes(encoding, frames(), min(cores(), len(ids))):
                item_id, annotation = waiting.popleft()
                error = future.exception()
                if error is None:
                    sets, order_error = future.result()
                    known = relabel(item_id, annotation)
                    try:
                        codes.append(item_id, sets, known.labels, known.group, known.splits, order_error)
                    except ValueError as differs:  # a code of another length than the others
                        error = differs
                elif not isinstance(error, ItemError | StorageError):
                    raise error
                if error is not None:
                    log.warning("%s failed: %s", item_id, error)
                    failures.append(Failure(item_id, "failed", str(error)))
                    progress.item_done("failed")
                    continue
                dimension = len(next(iter(sets.values())))
                progress.item_done("done")
            if len(failures) == len(ids):
                reason = f"the first reason: {failures[0].id}: {failures[0].reason}" if failures else "it has no items."
                raise UsageError(f"No item of {config.features} could be encoded; {reason}")
            for name in set_names(config):
                codes.set_blocks(name, encoding.blocks(dimension))
    write_failures(config.output, failures)
    done = len(ids) - len(failures)
    return EncodeSummary(config.output, done, dimension, ",".join(names), set_names(config), failures)


def check_output(output: Path, source: Path) -> None:
    """UsageError if ``output`` is the source itself or any other file than codes, which alone are replaced."""
    if output.resolve() == source.resolve() or (output.exists() and source.exists() and output.samefile(source)):
        raise UsageError(f"{output} is the file that is read. Choose another name for the codes.")
    if not output.exists():
        return
    try:
        open_codes(output).close()
    except (UsageError, StorageError) as error:
        raise UsageError(
            f"{output} exists and is not a codes file that could be replaced ({error}) Choose another name, or remove "
            "it yourself."
        ) from error


def _item_or_error(
    features: FeatureFile, item_id: str, names: list[str], in_pieces: bool
) -> tuple[Annotation, list[Frames] | ItemError | StorageError]:
    """What is known about an item, and its frames in every feature, or why there are none: a bad or damaged item must
    not stop the others."""
    annotation = Annotation((), item_id, {})
    try:
        stored = features[item_id]
        annotation = Annotation(stored.labels, stored.group, stored.splits)
        for name in names:
            if name not in stored.names:
                return annotation, ItemError(f"has no feature {name!r}; it has {', '.join(stored.names)}.")
        return annotation, [StoredFrames(stored, name) if in_pieces else stored[name] for name in names]
    except StorageError as error:
        return annotation, error


def choose_features(features: FeatureFile, config: EncodeConfig) -> list[str]:
    """The features to encode: several only where each has a codebook."""
    if not config.codebook:
        return [choose_feature(features, config.feature)]
    asked = [name.strip() for name in config.feature.split(",")] if config.feature else [None]
    if len(asked) != len(config.codebook):
        raise UsageError(
            f"There are {len(config.codebook)} codebooks and {len(asked)} features; give --codebook once for each "
            "feature that --feature names, in the same order."
        )
    return [choose_feature(features, name) for name in asked]


def choose_feature(features: FeatureFile, wanted: str | None) -> str:
    """The named feature, which some item has, or the only one of the first item."""
    if not len(features):
        raise UsageError(f"{features.path} has no items, so there is nothing to encode.")
    names = features[features.ids[0]].names
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted is None:
        raise UsageError(f"{features.path} has the features {', '.join(names)}; choose one with --feature.")
    if wanted not in names and not any(wanted in features[item_id].names for item_id in features):
        raise UsageError(f"{features.path} has no feature {wanted!r}; it has {', '.join(names) or 'none at all'}.")
    return wanted


def extraction_options(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """The options of 'vidfeat extract' that a features file remembers, also through 'merge'; None if imported."""
    if "merged" in run:
        return extraction_options(run["merged"][0]["run"])
    return run.get("options")
