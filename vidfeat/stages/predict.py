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

from vidfeat.classify import fusion
from vidfeat.errors import UsageError
from vidfeat.stages import encode, extract, runs
from vidfeat.stages.config.encode import EncodeConfig, without_effect
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.config.files import PredictConfig
from vidfeat.stages.failures import Failure
from vidfeat.stages.predicted import PredictSummary
from vidfeat.stages.scoring import Fusion, Single, read_scoring
from vidfeat.stages.sets import rank_pooling_C
from vidfeat.stages.trained import TrainedRun
from vidfeat.store import open_codes, open_features
from vidfeat.store.settings import settings_differences

log = logging.getLogger("vidfeat")


class _Scored(NamedTuple):
    """What a run says of items."""

    ids: list[str]
    labels: list[tuple[str, ...]]
    scores: np.ndarray
    classes: list[str]
    probabilities: np.ndarray | None
    train_ids: set[str]


class _Work(NamedTuple):
    """What the runs of a fusion share: one extraction serves all codes that are made from it."""

    folder: Path
    given: Mapping[Path, str]
    features: dict[str, Path]
    failures: dict[tuple[str, str], Failure]


def run(config: PredictConfig) -> PredictSummary:
    """Extract and encode into a temporary folder, or encode the features files that came, then score."""
    if config.output is not None:
        runs.check_predictions(config.output)
    asked = read_scoring(config.run)
    with tempfile.TemporaryDirectory(prefix="vidfeat-") as name:
        work = _Work(Path(name), _given_features(config.inputs), {}, {})
        _check_extraction(asked, work)
        scored = _scored(asked, config, work)
    failures = list(work.failures.values())
    if scored is None:
        return PredictSummary([], failures)
    ids = scored.ids
    trained = scored.train_ids.intersection(ids) if work.given else set()
    if trained:
        log.warning("%d of %d items were in the training part; figures on them say nothing.", len(trained), len(ids))
    if config.output is not None:
        parts = ["train" if item_id in trained else "" for item_id in ids]
        runs.write_predictions(
            config.output, ids, parts, scored.labels, scored.scores, scored.classes, scored.probabilities
        )
    shown = [None] * len(ids) if scored.probabilities is None else scored.probabilities
    predictions = [
        _entry(item_id, row, scored.classes, config.top, of_item)
        for item_id, row, of_item in zip(ids, scored.scores, shown, strict=True)
    ]
    return PredictSummary(predictions, failures)


def _scored(asked: Fusion | Single, config: PredictConfig, work: _Work) -> _Scored | None:
    """None if no item is left."""
    if isinstance(asked, Single):
        return _scored_alone(asked.model, config, work)
    found = []
    for one in asked.runs:
        found.append(_scored(one, config, work))
        if found[-1] is None:
            return None
    ids, rows = _common([scored.ids for scored in found], work)
    if not ids:
        return None
    values = [scored.scores[own] for scored, own in zip(found, rows, strict=True)]
    scores = fusion.fuse_scores(values, asked.weights, asked.normalize)
    labels = [found[0].labels[row] for row in rows[0]]
    return _Scored(ids, labels, scores, asked.classes, None, set().union(*(scored.train_ids for scored in found)))


def _common(found: Sequence[Sequence[str]], work: _Work) -> tuple[list[str], list[list[int]]]:
    """The ids that all have, and their rows in each; UsageError where there is none and no failure explains it."""
    places = [{item_id: row for row, item_id in enumerate(own)} for own in found]
    ids = sorted(set(found[0]).intersection(*found[1:]))
    if not ids and all(found) and work.given:
        raise UsageError("The features files have no item in common: give those of the same items, one for each set.")
    return ids, [[place[item_id] for item_id in ids] for place in places]


def _scored_alone(model: TrainedRun, config: PredictConfig, work: _Work) -> _Scored | None:
    made: list[_Codes] = []
    for source in model.sources:
        if work.given:
            place = _chosen_features(work.given, source["provenance"])
        else:
            place = _extracted(source["provenance"], config, work)
            if place is None:
                return None
        codes, failed = _encode(place, work.folder / "codes.h5", source)
        work.failures.update({(failure.id, failure.state): failure for failure in failed})
        made.append(codes)
    ids, rows = _common([codes.ids for codes in made], work)
    if not ids:
        return None
    labels = model.joined([made[0].labels[row] for row in rows[0]])
    scores = model.scores([codes.codes[own] for codes, own in zip(made, rows, strict=True)])
    return _Scored(ids, labels, scores, model.classes, model.probabilities(scores), set(model.meta["train_ids"]))


def _extracted(provenance: Mapping[str, Any], config: PredictConfig, work: _Work) -> Path | None:
    """Features of the videos as those behind a set of codes were extracted; None if no video gave any."""
    options = provenance["extraction"]
    key = json.dumps(options, sort_keys=True)
    if key not in work.features:
        place = work.folder / f"feats-{len(work.features)}.h5"
        extracted = extract.run(extraction_of(options, config, place))
        work.failures.update({(failure.id, failure.state): failure for failure in extracted.failures})
        if not extracted.kept:
            return None
        work.features[key] = place
    _check_settings(work.features[key], provenance)
    return work.features[key]


def _check_extraction(asked: Fusion | Single, work: _Work) -> None:
    """UsageError if videos came and some of the codes were made of features that no extraction can make anew."""
    if isinstance(asked, Fusion):
        for one in asked.runs:
            _check_extraction(one, work)
        return
    missing = [source for source in asked.model.sources if source["provenance"]["extraction"] is None]
    if missing and not work.given:
        stream = f" of the stream {missing[0]['name']}" if "name" in missing[0] else ""
        raise UsageError(
            f"The features behind {asked.folder}{stream} were imported, or written by 'vidfeat flow', so 'predict' "
            "cannot make them from a video. Make the new ones the same way, and give the features file in place of the "
            f"video; or encode them and use '{asked.model.command} predict'."
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
