"""``vidfeat encode``: one vector per item from the features of its frames."""

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat import encoders
from vidfeat.errors import ItemError, StorageError, UsageError
from vidfeat.progress import Progress
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.failures import Failure, write_failures
from vidfeat.stages.lanes import cores, in_lanes
from vidfeat.stages.relabel import Annotation, Relabelling
from vidfeat.store import CodesWriter, FeatureFile, open_codes, open_features

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
    encoder = build_encoder(config)
    failures: list[Failure] = []
    dimension = 0
    with open_features(config.features) as features:
        check_output(config)
        feature = choose_feature(features, config.feature)
        relabel = Relabelling(config.manifest, features.ids)
        ids = relabel.ids
        provenance = {
            "features": features.settings,
            "extraction": extraction_options(features.run),
            "features_fingerprint": features.fingerprint,
            "feature": feature,
            "encode": encoding_of(config),
        }
        with CodesWriter(config.output, provenance) as codes, Progress(len(ids)) as progress:
            waiting: deque[tuple[str, Annotation]] = deque()

            def frames() -> Iterator[np.ndarray | ItemError]:
                for item_id in ids:
                    stored = features[item_id]
                    waiting.append((item_id, Annotation(stored.labels, stored.group, stored.splits)))
                    yield _frames_or_error(stored, feature)

            for future in in_lanes(lambda given: encode_item(encoder, given, config), frames(), min(cores(), len(ids))):
                item_id, annotation = waiting.popleft()
                known = relabel(item_id, annotation)
                try:
                    sets, order_error = future.result()
                    codes.append(item_id, sets, known.labels, known.group, known.splits, order_error)
                except (ItemError, ValueError) as error:  # ValueError: a code of another length than the others
                    log.warning("%s failed: %s", item_id, error)
                    failures.append(Failure(item_id, "failed", str(error)))
                    progress.item_done("failed")
                    continue
                dimension = len(next(iter(sets.values())))
                progress.item_done("done")
            if len(failures) == len(ids):
                reason = f"the first reason: {failures[0].id}: {failures[0].reason}" if failures else "it has no items."
                raise UsageError(f"No item of {config.features} could be encoded; {reason}")
            nodes = 2**config.pyramid - 1
            width = dimension // nodes
            for name in set_names(config):
                codes.set_blocks(name, [(node, node * width, (node + 1) * width) for node in range(nodes)])
    write_failures(config.output, failures)
    return EncodeSummary(config.output, len(ids) - len(failures), dimension, feature, set_names(config), failures)


def check_output(config: EncodeConfig) -> None:
    """UsageError if OUTPUT is the features file or any other file than codes, which alone are replaced."""
    output = config.output
    if output.resolve() == config.features.resolve() or (
        output.exists() and config.features.exists() and output.samefile(config.features)
    ):
        raise UsageError(f"{output} is the features file itself. Choose another name for the codes.")
    if not output.exists():
        return
    try:
        open_codes(output).close()
    except (UsageError, StorageError) as error:
        raise UsageError(
            f"{output} exists and is not a codes file that could be replaced ({error}) Choose another name, or remove "
            "it yourself."
        ) from error


def encoding_of(config: EncodeConfig) -> dict[str, Any]:
    """The options that determine the codes, by field name; ``EncodeConfig(**…)`` takes them back."""
    names = ["method", "C", "epsilon", "direction", "map", "no_smooth", "pyramid", "no_normalize"]
    if config.method == "hier-rankpool":
        names += ["window", "window_stride", "depth"]
    return {name: getattr(config, name) for name in names} | {
        "C": ",".join(f"{value:.12g}" for value in config.C_values)
    }


def set_names(config: EncodeConfig) -> list[str]:
    """``default``, or one set per value of C."""
    return ["default"] if len(config.C_values) == 1 else [f"C={value:.12g}" for value in config.C_values]


def build_encoder(config: EncodeConfig) -> Any:
    """The estimator that the options describe, for the first value of C."""
    normalize = not config.no_normalize
    prepared = {"smooth": not config.no_smooth, "map": config.map, "direction": config.direction}
    ranked = {"C": config.C_values[0], "epsilon": config.epsilon, **prepared}
    pools = {
        "avg": lambda: encoders.AveragePool(normalize=normalize),
        "max": lambda: encoders.MaxPool(normalize=normalize),
        "rankpool": lambda: encoders.RankPool(**ranked, normalize=normalize),
        "approx-rankpool": lambda: encoders.ApproximateRankPool(**prepared, normalize=normalize),
        "hier-rankpool": lambda: encoders.HierarchicalRankPool(
            config.window, config.window_stride, config.depth, **ranked, normalize=normalize
        ),
    }
    pool = pools[config.method]()
    return pool if config.pyramid == 1 else encoders.TemporalPyramid(config.pyramid, pool=pool, normalize=normalize)


def _frames_or_error(stored: Any, feature: str) -> np.ndarray | ItemError:
    """The frames of one item, or why there are none: a bad item must not stop the others."""
    if feature not in stored.names:
        return ItemError(f"has no feature {feature!r}; it has {', '.join(stored.names)}.")
    return stored[feature]


def encode_item(
    encoder: Any, frames: np.ndarray | ItemError, config: EncodeConfig
) -> tuple[dict[str, np.ndarray], dict[str, float] | None]:
    """The code of one item in every set, and for rank pooling its temporal order errors.

    Raises ItemError with the reason if it has none.
    """
    if isinstance(frames, ItemError):
        raise frames
    names = set_names(config)
    try:
        if config.method != "rankpool":
            return {names[0]: encoder.transform([frames])[0]}, None
        codes, errors = encoder.path(frames, config.C_values)
    except UsageError as error:
        raise ItemError(str(error)) from error
    return dict(zip(names, codes, strict=True)), dict(zip(names, errors, strict=True))


def choose_feature(features: FeatureFile, wanted: str | None) -> str:
    """The named feature, or the only one there is."""
    names = features[features.ids[0]].names if len(features) else []
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted is None:
        raise UsageError(f"{features.path} has the features {', '.join(names)}; choose one with --feature.")
    if wanted not in names:
        raise UsageError(f"{features.path} has no feature {wanted!r}; it has {', '.join(names) or 'none at all'}.")
    return wanted


def extraction_options(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """The options of 'vidfeat extract' that a features file remembers, also through 'merge'; None if imported."""
    if "merged" in run:
        return extraction_options(run["merged"][0]["run"])
    return run.get("options")
