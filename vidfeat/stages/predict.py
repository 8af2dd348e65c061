"""``vidfeat predict``: from new videos, or features of them, to labels, with the extraction, encoding and model that a
run remembers."""

import dataclasses
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.stages import encode, extract, runs
from vidfeat.stages.config.encode import EncodeConfig, without_effect
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.config.files import PredictConfig
from vidfeat.stages.failures import Failure
from vidfeat.stages.grams import PRECOMPUTED
from vidfeat.stages.predicted import PredictSummary
from vidfeat.stages.sets import rank_pooling_C
from vidfeat.stages.trained import TrainedRun, read_trained
from vidfeat.store import open_codes, open_features
from vidfeat.store.settings import settings_differences

log = logging.getLogger("vidfeat")


def run(config: PredictConfig) -> PredictSummary:
    """Extract and encode into a temporary folder, or encode the features files that came, then score."""
    if config.output is not None:
        runs.check_predictions(config.output)
    model = read_trained(config.run)
    if model.meta["kernel"] == PRECOMPUTED:
        raise UsageError(
            f"{config.run} was trained on a Gram matrix, and nobody knows how its kernel is computed from a video. "
            "Compute the kernel of the new items with its support vectors, and use 'vidfeat svm predict RUN GRAM'."
        )
    given = _given_features(config.inputs)
    if not given:
        _check_extraction(config.run, model)
    made: list[_Codes] = []
    failures: dict[tuple[str, str], Failure] = {}
    with tempfile.TemporaryDirectory(prefix="vidfeat-") as name:
        features: dict[str, Path] = {}  # one extraction serves all codes that were made from it
        for source in model.sources:
            if given:
                place = _chosen_features(given, source["provenance"])
            else:
                options = source["provenance"]["extraction"]
                key = json.dumps(options, sort_keys=True)
                place = features.setdefault(key, Path(name) / f"feats-{len(features)}.h5")
                if not place.exists():
                    extracted = extract.run(extraction_of(options, config, place))
                    failures |= {(failure.id, failure.state): failure for failure in extracted.failures}
                    if not extracted.kept:
                        return PredictSummary([], list(failures.values()))
                    _check_settings(place, source["provenance"])
            codes, failed = _encode(place, Path(name) / f"codes-{len(made)}.h5", source)
            failures |= {(failure.id, failure.state): failure for failure in failed}
            made.append(codes)
    ids = sorted(set(made[0].ids).intersection(*(codes.ids for codes in made)))
    rows = [[codes.ids.index(item_id) for item_id in ids] for codes in made]
    labels = model.joined([made[0].labels[row] for row in rows[0]])
    scores = model.scores([codes.codes[own] for codes, own in zip(made, rows, strict=True)])
    probabilities = model.probabilities(scores)
    trained = set(model.meta["train_ids"]).intersection(ids) if given else set()
    if trained:
        log.warning("%d of %d items were in the training part; figures on them say nothing.", len(trained), len(ids))
    if config.output is not None:
        parts = ["train" if item_id in trained else "" for item_id in ids]
        runs.write_predictions(config.output, ids, parts, labels, scores, model.classes, probabilities)
    shown = [None] * len(ids) if probabilities is None else probabilities
    predictions = [
        _entry(item_id, row, model.classes, config.top, of_item)
        for item_id, row, of_item in zip(ids, scores, shown, strict=True)
    ]
    return PredictSummary(predictions, list(failures.values()))


def _check_extraction(run: Path, model: TrainedRun) -> None:
    """UsageError if some of the codes were made of features that no extraction can make anew."""
    missing = [source for source in model.sources if source["provenance"]["extraction"] is None]
    if missing:
        stream = f" of the stream {missing[0]['name']}" if "name" in missing[0] else ""
        raise UsageError(
            f"The features behind {run}{stream} were imported, or written by 'vidfeat flow', so 'predict' cannot make "
            "them from a video. Make the new ones the same way, and give the features file in place of the video; or "
            f"encode them and use '{model.command} predict'."
        )


def _given_features(inputs: Sequence[Path]) -> dict[Path, str]:
    """Features files among the inputs, with their fingerprints; UsageError for a mixture with videos."""
    files = [path for path in inputs if path.suffix.lower() in (".h5", ".hdf5") and path.is_file()]
    if not files:
        return {}
    if len(files) < len(inputs):
        other = next(path for path in inputs if path not in files)
        raise UsageError(f"{files[0]} and {other} came: give features files alone, or videos alone.")
    found = {}
    for path in files:
        with open_features(path) as stored:
            found[path] = stored.fingerprint
    return found


def _chosen_features(given: Mapping[Path, str], provenance: Mapping[str, Any]) -> Path:
    """The file that was made as the features behind one set of codes were."""
    wanted = provenance["features_fingerprint"]
    found = [path for path, fingerprint in given.items() if fingerprint == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{found[0]} and {found[1]} were made in the same way; give one of them, or merge them first.")
    said = []
    for path in given:
        with open_features(path) as stored:
            said.append(f"{path}: {settings_differences(provenance['features'], stored.settings)}")
    raise UsageError(
        f"The run needs features ({provenance['feature']}) that were made as those it was trained on. None of the "
        f"files was ({'; '.join(said)}). Extract with the same options, or give the videos."
    )


class _Codes(NamedTuple):
    ids: list[str]
    labels: list[tuple[str, ...]]
    codes: np.ndarray


def _encode(features: Path, output: Path, source: dict[str, Any]) -> tuple[_Codes, list[Failure]]:
    """The codes that a run was trained on, of new features."""
    provenance = source["provenance"]
    encoding = provenance["encode"]
    ignored = without_effect(encoding)  # earlier versions took such options without a word
    encoding = {name: value for name, value in encoding.items() if name not in ignored}
    chosen = rank_pooling_C(source["set"])
    if chosen is not None:  # one of several sets: the others are not needed
        encoding = {**encoding, "C": f"{chosen:.12g}"}
    encoding |= {"codebook": [Path(path) for path in encoding.get("codebook", [])]}
    encoding |= {"reduce": Path(encoding["reduce"])} if "reduce" in encoding else {}
    encoded = encode.run(EncodeConfig(features=features, output=output, feature=provenance["feature"], **encoding))
    with open_codes(output) as stored:
        _check_codebooks(stored.provenance, provenance)
        return _Codes(list(stored.ids), list(stored.labels), stored.codes()), encoded.failures


def extraction_of(options: dict[str, Any], config: PredictConfig, output: Path) -> ExtractConfig:
    """The training extraction with other inputs, output and device."""
    known = {f.name for f in dataclasses.fields(ExtractConfig)}
    kept = {name: value for name, value in options.items() if name in known}
    overrides: dict[str, Any] = {"inputs": config.inputs, "output": output, "device": config.device}
    kept["encode"] = [Path(path) for path in kept.get("encode", [])]
    if config.weights is not None:
        overrides["weights"] = config.weights
    return ExtractConfig(**{**kept, **overrides})


def _check_settings(features: Path, provenance: dict[str, Any]) -> None:
    """The new features must mean what the run's did; weights that have changed would go unnoticed otherwise."""
    with open_features(features) as stored:
        found = settings_differences(provenance["features"], stored.settings)
    if found:
        raise UsageError(
            f"The extraction is not the one that the run was trained on ({found}). If the weights differ, "
            "give the right file with --weights."
        )


def _check_codebooks(here: dict[str, Any], there: dict[str, Any]) -> None:
    if here.get("codebooks") != there.get("codebooks"):
        raise UsageError(
            f"The codebooks {', '.join(here['encode'].get('codebook', []))} are not those that the run was trained "
            "with: they were made anew since. Train the run again, or put the old ones back."
        )


def _entry(
    item_id: str, scores: np.ndarray, classes: list[str], top: int, probabilities: np.ndarray | None
) -> dict[str, Any]:
    best = np.argsort(-scores, kind="stable")[:top]
    entry = {
        "id": item_id,
        "predicted": classes[int(best[0])],
        "scores": {classes[int(column)]: float(scores[column]) for column in best},
    }
    if probabilities is not None:
        entry["probabilities"] = {classes[int(column)]: float(probabilities[column]) for column in best}
    return entry
