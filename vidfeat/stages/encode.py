"""``vidfeat encode``: one vector per item from the features of its frames."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidfeat import encoders
from vidfeat.errors import ItemError, StorageError, UsageError
from vidfeat.progress import Progress
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.failures import Failure, write_failures
from vidfeat.stages.relabel import Annotation, Relabelling
from vidfeat.store import CodesWriter, FeatureFile, open_codes, open_features

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class EncodeSummary:
    """What was encoded: ``dimension`` is the length of one code."""

    output: Path
    items: int
    dimension: int
    feature: str
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
            "failures": [vars(failure) for failure in self.failures],
        }


def run(config: EncodeConfig) -> EncodeSummary:
    """Encode every item of a features file, one at a time, so that memory does not grow with their number."""
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
            for item_id in ids:
                stored = features[item_id]
                known = relabel(item_id, Annotation(stored.labels, stored.group, stored.splits))
                try:
                    code = encode_item(encoder, stored, feature)
                    codes.append(item_id, {"default": code}, known.labels, known.group, known.splits)
                except (ItemError, ValueError) as error:  # ValueError: a code of another length than the others
                    log.warning("%s failed: %s", item_id, error)
                    failures.append(Failure(item_id, "failed", str(error)))
                    progress.item_done("failed")
                    continue
                dimension = len(code)
                progress.item_done("done")
            if len(failures) == len(ids):
                reason = f"the first reason: {failures[0].id}: {failures[0].reason}" if failures else "it has no items."
                raise UsageError(f"No item of {config.features} could be encoded; {reason}")
            nodes = 2**config.pyramid - 1
            width = dimension // nodes
            codes.set_blocks("default", [(node, node * width, (node + 1) * width) for node in range(nodes)])
    write_failures(config.output, failures)
    return EncodeSummary(config.output, len(ids) - len(failures), dimension, feature, failures)


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
    names = ("method", "C", "epsilon", "direction", "map", "no_smooth", "pyramid", "no_normalize")
    return {name: getattr(config, name) for name in names}


def build_encoder(config: EncodeConfig) -> Any:
    """The estimator that the options describe."""
    normalize = not config.no_normalize
    pools = {
        "avg": lambda: encoders.AveragePool(normalize=normalize),
        "max": lambda: encoders.MaxPool(normalize=normalize),
        "rankpool": lambda: encoders.RankPool(
            C=config.C,
            epsilon=config.epsilon,
            smooth=not config.no_smooth,
            map=config.map,
            normalize=normalize,
            direction=config.direction,
        ),
    }
    pool = pools[config.method]()
    return pool if config.pyramid == 1 else encoders.TemporalPyramid(config.pyramid, pool=pool, normalize=normalize)


def encode_item(encoder: Any, stored: Any, feature: str) -> Any:
    """The code of one item; raises ItemError with the reason if it has none."""
    if feature not in stored.names:
        raise ItemError(f"has no feature {feature!r}; it has {', '.join(stored.names)}.")
    try:
        return encoder.transform([stored[feature]])[0]
    except UsageError as error:
        raise ItemError(str(error)) from error


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
