"""``vidfeat report runs``: the figures of several runs as one table or picture."""

import csv
import io
from typing import Any

import numpy as np

from vidfeat import metrics
from vidfeat.errors import UsageError
from vidfeat.progress import Progress
from vidfeat.report.scores import MEASURES, RunFigures, runs_figure
from vidfeat.stages import runs, scores
from vidfeat.stages.config.scores import RunsReportConfig
from vidfeat.stages.sensitivity import names_of
from vidfeat.stages.summary import Summary
from vidfeat.stages.tested import TestedRun, read_tested
from vidfeat.store import write_bytes


def run(config: RunsReportConfig) -> Summary:
    """Judge every run, and write the table or picture that was asked for."""
    if config.output is not None:
        runs.check_place(config.output)
        if config.output.is_dir():
            raise UsageError(f"The output {config.output} is a folder; give the name of a file, such as runs.csv.")
    tested = [read_tested(folder) for folder in config.runs]
    if config.mean:
        _check_alike(tested)
    names, rows = names_of(config.runs), []
    with Progress(len(tested), unit="runs") as progress:
        for name, one in zip(names, tested, strict=True):
            rows.append({"run": name, **figures_of(one, config)})
            progress.item_done("done")
    facts: dict[str, Any] = {"runs": rows}
    if config.mean:
        facts |= {"mean": _over_runs(rows, np.mean), "sd": _over_runs(rows, lambda values: np.std(values, ddof=1))}
    if config.output is not None:
        facts["output"] = str(config.output)
        suffix = config.output.suffix.lower()
        write_bytes(config.output, table_text(facts).encode() if suffix == ".csv" else _picture(facts, suffix[1:]))
    return Summary(facts)


def figures_of(run: TestedRun, config: RunsReportConfig) -> dict[str, Any]:
    """Split, number of items, measures, hit@k, and the 95 % intervals of the measures (None without resampling)."""
    found, outcome, intervals = run.figures(), run.outcome(), None
    if config.bootstrap:
        intervals = scores.intervals(outcome, run.groups, n_resamples=config.bootstrap, seed=config.seed)
    belongs = outcome.truth >= 0
    return {
        "split": run.split,
        "n_test": len(run.ids),
        **{name: found[name] for name in MEASURES},
        "hit": {str(k): metrics.hit_at_k(outcome.relevant[belongs], run.scores[belongs], k) for k in config.ks},
        "intervals": intervals,
    }


def _check_alike(tested: list[TestedRun]) -> None:
    """UsageError if a mean over these runs would mix sets."""
    first = tested[0]
    for other in tested[1:]:
        if set(other.classes) != set(first.classes):
            only = sorted(set(first.classes) ^ set(other.classes))
            raise UsageError(
                f"--mean is over splits or repetitions of one set; {first.folder} and {other.folder} have different "
                f"classes ({only[0]!r} is in one of them only)."
            )


def _over_runs(rows: list[dict[str, Any]], of) -> dict[str, Any]:
    values = {name: float(of([row[name] for row in rows])) for name in MEASURES}
    return {**values, "hit": {k: float(of([row["hit"][k] for row in rows])) for k in rows[0]["hit"]}}


def table_text(facts: dict[str, Any]) -> str:
    """The runs as CSV; mean and sd, if there are, as two rows more."""
    ks = list(facts["runs"][0]["hit"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    bounds = [f"{name}_{side}" for name in MEASURES for side in ("low", "high")]
    writer.writerow(["run", "split", "n_test", *MEASURES, *(f"hit@{k}" for k in ks), *bounds])
    for row in facts["runs"]:
        ends = [row["intervals"][name][side] if row["intervals"] else "" for name in MEASURES for side in (0, 1)]
        numbers = [row[name] for name in MEASURES] + [row["hit"][k] for k in ks]
        writer.writerow([row["run"], row["split"], row["n_test"], *numbers, *ends])
    for name in ("mean", "sd"):
        if name in facts:
            numbers = [facts[name][measure] for measure in MEASURES] + [facts[name]["hit"][k] for k in ks]
            writer.writerow([name, "", "", *numbers, *[""] * len(bounds)])
    return text.getvalue()


def _picture(facts: dict[str, Any], form: str) -> bytes:
    drawn = [
        RunFigures(row["run"], {name: row[name] for name in MEASURES}, row["intervals"] or {}) for row in facts["runs"]
    ]
    spread = {name: (facts["mean"][name], facts["sd"][name]) for name in MEASURES} if "mean" in facts else None
    picture = io.BytesIO()
    runs_figure(drawn, spread).savefig(picture, format=form)
    return picture.getvalue()
