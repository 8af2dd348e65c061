"""``vidfeat compare``: paired differences of two runs on the same items, with intervals and p-values."""

import logging
import math
from typing import Any

import numpy as np

from vidfeat import metrics
from vidfeat.errors import UsageError
from vidfeat.metrics.paired import MEASURES
from vidfeat.progress import Progress
from vidfeat.stages.config.fusion import CompareConfig
from vidfeat.stages.sensitivity import names_of
from vidfeat.stages.summary import Summary
from vidfeat.stages.tested import TestedRun, check_different, in_order_of, read_tested, same_training

log = logging.getLogger("vidfeat")

Pair = tuple[TestedRun, TestedRun]


def run(config: CompareConfig) -> Summary:
    """Read pairs of runs, one for each split, and compare the second with the first."""
    check_different(config.runs)
    read = [read_tested(folder) for folder in config.runs]
    halves = read[: config.splits], read[config.splits :]
    pairs = [(first, in_order_of(first, second)) for first, second in zip(*halves, strict=True)]
    for first, second in pairs:
        if first.classes != pairs[0][0].classes:
            raise UsageError(
                f"{pairs[0][0].folder} and {first.folder} do not have the same classes, so they are not splits of one "
                f"set: {', '.join(pairs[0][0].classes)} there, {', '.join(first.classes)} here."
            )
        if found := same_training(first, second):
            log.warning("The runs %s.", found)
    names = names_of(config.runs)
    groups = [group for first, _ in pairs for group in first.groups]
    n_groups = len(set(groups))
    facts: dict[str, Any] = {
        "first": names[: config.splits],
        "second": names[config.splits :],
        "n_test": len(groups),
        "groups": n_groups,
        **compared(pairs, config.bootstrap, config.seed),
    }
    return Summary(facts)


def compared(pairs: list[Pair], n_resamples: int, seed: int) -> dict[str, Any]:
    """Second minus first: ``figures`` by measure, ``per_class`` by class, ``test`` about the p-values.

    Values are means over the pairs, one pair for each split. Without resamples no interval and no p.
    """
    judged = [tuple(run.figures() for run in pair) for pair in pairs]
    outcomes = [(first.outcome(), second.outcome()) for first, second in pairs]
    groups = [first.groups for first, _ in pairs]
    differences = metrics.paired_differences(outcomes)
    intervals, p, test = {}, {}, None
    if n_resamples:
        n_groups = len({group for own in groups for group in own})
        swaps = min(2**n_groups, n_resamples)
        with Progress(n_resamples + swaps, unit="resamplings") as progress:

            def told(n: int) -> None:
                for _ in range(n):
                    progress.item_done("done")

            options = {"n_resamples": n_resamples, "seed": seed, "told": told}
            intervals = metrics.paired_bootstrap(outcomes, groups, **options)
            p, exact = metrics.swap_test(outcomes, groups, **options)
        smallest = 2 / swaps if exact else 1 / (swaps + 1)
        test = {"swaps": swaps, "exact": exact, "smallest_p": smallest}
    figures = {}
    for name in MEASURES:
        first, second = (float(np.mean([each[side][name] for each in judged])) for side in (0, 1))
        figures[name] = {"first": first, "second": second, "difference": float(differences[name])}
        if n_resamples:
            figures[name] |= {"interval95": _plain(intervals[name]), "p": p[name]}
    per_class = {}
    for column, name in enumerate(pairs[0][0].classes):
        per_class[name] = {"n": sum(each[0]["per_class"][name]["n"] for each in judged)}
        for ours, theirs in (("accuracy", "recalls"), ("ap", "aps")):
            values = [_mean([each[side]["per_class"][name][ours] for each in judged]) for side in (0, 1)]
            entry = {"first": values[0], "second": values[1], "difference": _plain(differences[theirs][column])}
            if n_resamples:
                entry["interval95"] = _plain(intervals[theirs][column])
            per_class[name][ours] = entry
    return {"figures": figures, "per_class": per_class, "test": test}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _plain(value: np.ndarray) -> Any:
    """Numbers for JSON; None for NaN, of an interval too."""
    found = np.asarray(value, dtype=float).tolist()
    if isinstance(found, list):
        return None if any(math.isnan(entry) for entry in found) else found
    return None if math.isnan(found) else found
