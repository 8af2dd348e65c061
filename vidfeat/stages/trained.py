"""Trained runs of any command, and codes that they can score."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidfeat.errors import UsageError
from vidfeat.stages import mkl_runs, runs
from vidfeat.stages.config.mkl import MklPredictConfig
from vidfeat.stages.config.svm import SvmPredictConfig
from vidfeat.stages.grams import PRECOMPUTED, read_rows
from vidfeat.stages.labelled import LabelledCodes, read_codes
from vidfeat.stages.several import beside
from vidfeat.stages.summary import Summary
from vidfeat.store import open_codes
from vidfeat.words import counted

log = logging.getLogger("vidfeat")

TrainedRun = runs.Run | mkl_runs.MklRun

_ELSEWHERE = {
    "vidfeat-fusion": "is a fusion: 'vidfeat predict' takes it, with videos or features; codes go to its runs",
    "vidfeat-end2end": "is a run of 'vidfeat end2end': use 'vidfeat end2end predict'",
}


def read_trained(folder: Path) -> TrainedRun:
    """The model of a run of ``vidfeat svm`` or ``vidfeat mkl``; UsageError in words for any other folder."""
    form = runs.read_json(folder, "model.json").get("format")
    if form in _ELSEWHERE:
        raise UsageError(f"{folder} {_ELSEWHERE[form]}.")
    return mkl_runs.read_run(folder) if form == mkl_runs.FORMAT else runs.read_run(folder)


def predict(config: SvmPredictConfig | MklPredictConfig) -> Summary:
    """Score every item of codes made with the run's own extraction and encoding, and write a table."""
    runs.check_predictions(config.output)
    run = read_trained(config.run)
    data = read_for(run, config.codes)
    result = run.scores(data.arrays)
    trained = set(run.meta["train_ids"]) & set(data.ids)
    if trained:
        log.warning(
            "%d of %d items were in the training part; figures on them say nothing.", len(trained), len(data.ids)
        )
    parts = ["train" if item_id in trained else "" for item_id in data.ids]
    labels = run.joined(data.labels)
    runs.write_predictions(config.output, data.ids, parts, labels, result, run.classes, run.probabilities(result))
    return Summary({"output": str(config.output), "items": len(data.ids)})


def read_for(run: TrainedRun, paths: Sequence[Path]) -> LabelledCodes:
    """The codes of every file; UsageError unless they are made as those of the run, of the same items."""
    if len(paths) != len(run.sources):
        names = ", ".join(source.get("name", source["set"]) for source in run.sources)
        raise UsageError(
            f"{counted(len(paths), 'codes file')} came; the run was trained on {len(run.sources)} ({names}): give as "
            "many, in the same order."
        )
    if run.meta["kernel"] == PRECOMPUTED:
        return read_rows(paths, run.meta["support_ids"])
    with open_codes(paths[0]) as stored:
        check_same_codes(run.sources[0]["provenance"], stored.provenance, paths[0])
        data = read_codes(stored, run.sources[0]["set"])
    for path, source in zip(paths[1:], run.sources[1:], strict=True):
        with open_codes(path) as stored:
            check_same_codes(source["provenance"], stored.provenance, path)
    return beside(data, paths[1:], [source["set"] for source in run.sources[1:]], exactly=True)


def check_same_codes(trained: dict[str, Any], given: dict[str, Any], path: Any) -> None:
    """UsageError unless both codes come from the same features and encoding."""
    names = ("features_fingerprint", "feature", "encode")
    there, here = ({name: made.get(name) for name in names} | (made.get("encode") or {}) for made in (given, trained))
    del there["encode"], here["encode"]  # its options stand in its place
    differ = [name for name in here | there if there.get(name) != here.get(name)]
    if differ:
        said = "; ".join(f"{name}: {there.get(name)} there, {here.get(name)} in the run" for name in differ)
        raise UsageError(
            f"The codes of {path} were not made as the run's were ({said}). Extract and encode with the same options."
        )
