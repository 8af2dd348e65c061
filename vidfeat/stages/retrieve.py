"""``vidfeat retrieve``: search codes for other codes, and judge what comes first."""

import csv
import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidfeat.errors import UsageError
from vidfeat.precision import check_device
from vidfeat.progress import Progress
from vidfeat.retrieval.evaluation import Judged, figures, judge
from vidfeat.retrieval.queries import Query
from vidfeat.retrieval.ranks import positive_ranks
from vidfeat.stages import retrieve_sheet, runs
from vidfeat.stages.config.options import as_json
from vidfeat.stages.config.retrieve import RetrieveConfig
from vidfeat.stages.new_folder import new_folder
from vidfeat.stages.places import check_free, check_replaceable
from vidfeat.stages.retrieve_problem import Problem, found, read_problem
from vidfeat.stages.summary import Summary
from vidfeat.store import fs, open_codes, write_bytes

log = logging.getLogger("vidfeat")

_FILES = ("results.json", "queries.csv", "ranked.csv")
# Queries whose best matches are held at a time.
_QUERIES_AT_ONCE = 4096


def run(config: RetrieveConfig) -> Summary:
    """Judge the protocol's queries; write OUT and the contact sheet where they are asked for.

    UsageError before the search for bad input. Exit code 1 if the sheet lacks pictures.
    """
    _check_places(config)
    device = _device(config.device)
    with ExitStack() as files:
        stored = files.enter_context(open_codes(config.codes))
        problem = read_problem(config, stored, files, device)
        sheet = retrieve_sheet.prepare(config, problem.task.queries, stored.ids)
        log.info("%d queries against %d items.", len(problem.task.queries), len(problem.ids))
        judged = _judge(problem)
        results = _results(config, problem, judged, stored.provenance)
        png, failures = retrieve_sheet.draw(sheet, problem, stored.ids, judged, config.columns) if sheet else (b"", [])
        if config.output is not None:
            _write(config, results, _ranked_rows(problem, config.top), png)
    if sheet and not _sheet_in_output(config):
        write_bytes(config.contact_sheet, png)
    facts = {"output": None if config.output is None else str(config.output)}
    if sheet:
        facts |= {"contact_sheet": str(config.contact_sheet), "without_picture": failures}
    return Summary({**facts, **results}, exit_code=1 if failures else 0)


def _check_places(config: RetrieveConfig) -> None:
    sheet = config.contact_sheet
    for place in (config.output, None if _sheet_in_output(config) else sheet):
        if place is not None:
            runs.check_place(place)
            check_free(place, config.overwrite)
    if config.output is not None:
        check_replaceable(config.output, _own_files(config))
    if sheet is None:
        return
    if sheet.is_dir():
        raise UsageError(f"--contact-sheet {sheet} is a folder; give the name of a PNG file.")
    if config.images.is_dir() and sheet.resolve().is_relative_to(config.images.resolve()):
        raise UsageError(
            f"--contact-sheet {sheet} lies in the folder of --images {config.images}, among its pictures. Choose a "
            "place outside of it."
        )


def _sheet_in_output(config: RetrieveConfig) -> bool:
    """Whether OUT is to hold the contact sheet too."""
    sheet, output = config.contact_sheet, config.output
    return sheet is not None and output is not None and sheet.parent.resolve() == output.resolve()


def _own_files(config: RetrieveConfig) -> re.Pattern:
    """Names of the files in OUT."""
    names = [*_FILES, *([config.contact_sheet.name] if _sheet_in_output(config) else [])]
    return re.compile("|".join(map(re.escape, names)))


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(check_device(name))


def _judge(problem: Problem) -> list[Judged]:
    queries = problem.task.queries
    judged = []
    with Progress(len(queries), "queries") as progress:
        ranks = positive_ranks(problem.queries, problem.database, queries, problem.metric, device=problem.device)
        for query, own in zip(queries, ranks, strict=True):
            judged.append(judge(own, query.missing))
            progress.item_done()
    return judged


def _results(
    config: RetrieveConfig, problem: Problem, judged: Sequence[Judged], provenance: dict[str, Any]
) -> dict[str, Any]:
    return {
        "protocol": config.protocol,
        "metric": config.metric,
        "set": problem.set,
        "n_queries": len(judged),
        "n_database": len(problem.ids),
        "dimension": int(problem.database.shape[1]),
        **figures(judged),
        "counts": dict(problem.task.counts),
        "queries": [_query_facts(*pair) for pair in zip(problem.task.queries, judged, strict=True)],
        "config": as_json(config),
        "provenance": provenance,
    }


def _query_facts(query: Query, judged: Judged) -> dict[str, Any]:
    facts = {
        "query": query.name,
        "ap": judged.ap,
        "ap_stepwise": judged.ap_stepwise,
        "positives": judged.positives,
        "first_rank": judged.first_rank,
    }
    return facts if query.rectangle is None else {**facts, "rectangle": list(query.rectangle)}


def _ranked_rows(problem: Problem, top: int) -> Iterator[Sequence[Any]]:
    """Rows of ranked.csv, some queries at a time, so that memory does not grow with their number."""
    queries = problem.task.queries
    for first in range(0, len(queries), _QUERIES_AT_ONCE):
        numbers = range(first, min(first + _QUERIES_AT_ONCE, len(queries)))
        for number, places, distances in zip(numbers, *found(problem, numbers, top), strict=True):
            query = queries[number]
            relevant = np.isin(places, query.positives)
            for rank, place in enumerate(places[places >= 0]):
                yield query.name, rank + 1, problem.ids[place], distances[rank], int(relevant[rank])


def _write(config: RetrieveConfig, results: dict[str, Any], ranked: Iterator[Sequence[Any]], sheet: bytes) -> None:
    columns = ("query", "ap", "positives", "first_rank")
    queries = ([entry[name] for name in columns] for entry in results["queries"])
    text = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with new_folder(config.output, _own_files(config)) as folder, fs.writing(config.output):
        (folder / "results.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        _write_csv(folder / "queries.csv", columns, queries)
        _write_csv(folder / "ranked.csv", ("query", "rank", "id", "distance", "relevant"), ranked)
        if _sheet_in_output(config):
            (folder / config.contact_sheet.name).write_bytes(sheet)


def _write_csv(path: Path, header: Sequence[str], rows: Iterator[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
