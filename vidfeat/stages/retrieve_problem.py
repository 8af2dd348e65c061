"""What ``vidfeat retrieve`` asks: the codes that are searched, the queries, and what each should find."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.retrieval.by_label import label_task
from vidfeat.retrieval.holidays import holidays_task
from vidfeat.retrieval.landmarks import landmark_task
from vidfeat.retrieval.naming import rows_by_stem, some, stem_of
from vidfeat.retrieval.queries import Query, Task
from vidfeat.retrieval.rows import Rows, Selection
from vidfeat.retrieval.search import search
from vidfeat.stages.config.retrieve import RetrieveConfig
from vidfeat.stages.relabel import Annotation, Relabelling
from vidfeat.store import CodesFile, open_codes

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class Problem:
    """The queries and where their codes are; ``ids`` are those of the database, in its order."""

    set: str
    task: Task
    queries: Rows
    database: Rows
    ids: Sequence[str]
    metric: str
    device: str


def found(problem: Problem, numbers: Sequence[int], top: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and distances ``[len(numbers), top]`` of the best matches of these queries."""
    queries = problem.task.queries
    rows = problem.queries if len(numbers) == len(queries) else Selection(problem.queries, np.array(numbers))
    ignored = [queries[number].ignored for number in numbers]
    return search(rows, problem.database, problem.metric, top, ignored=ignored, device=problem.device)


def read_problem(config: RetrieveConfig, stored: CodesFile, files: ExitStack, device: str) -> Problem:
    """Put it together from open files; further ones are opened with ``files``. UsageError if it cannot be."""
    set_name = _choose_set(stored, config.set)
    codes = stored.code_rows(set_name)
    database = np.arange(len(stored.ids))
    if config.protocol == "labels":
        task, database = _label_task(config, stored)
    elif config.protocol == "holidays":
        task = holidays_task(stored.ids, config.ground_truth)
    else:
        task = landmark_task(stored.ids, config.ground_truth)
    searched = codes if len(database) == len(stored.ids) else Selection(codes, database)
    if config.query_codes is None:
        queries = Selection(codes, np.array([query.row for query in task.queries]))
    else:
        other = files.enter_context(open_codes(config.query_codes))
        queries = _other_codes(config.query_codes, other, stored, set_name, task.queries)
    ids = [stored.ids[row] for row in database]
    return Problem(set_name, task, queries, searched, ids, config.metric, device)


def _choose_set(stored: CodesFile, wanted: str | None) -> str:
    if not stored.sets:
        raise UsageError(f"{stored.path} has no codes. Encode at least one item with 'vidfeat encode'.")
    names = ", ".join(stored.sets)
    if wanted is None and len(stored.sets) > 1:
        raise UsageError(f"{stored.path} has the sets {names}; choose one with --set.")
    if wanted is not None and wanted not in stored.sets:
        raise UsageError(f"{stored.path} has no set {wanted!r}; it has {names}. Choose one with --set.")
    return wanted or stored.sets[0]


def _label_task(config: RetrieveConfig, stored: CodesFile) -> tuple[Task, np.ndarray]:
    """The task, and the rows that are searched."""
    relabel = Relabelling(config.manifest, stored.ids)
    row_of = {item_id: row for row, item_id in enumerate(stored.ids)}
    known: dict[int, Annotation] = {}
    for item_id in relabel.ids:
        row = row_of[item_id]
        splits = {name: parts[row] for name, parts in stored.splits.items()}
        known[row] = relabel(item_id, Annotation(stored.labels[row], stored.groups[row], splits))
    split = _choose_split(config, sorted({name for own in known.values() for name in own.splits}))
    queries = _part(known, split, config.queries or ("test" if split else "all"))
    database = _part(known, split, config.database or "all")
    labels = [known[row].labels if row in known else () for row in range(len(stored.ids))]
    groups = [known[row].group if row in known else "" for row in range(len(stored.ids))]
    task = label_task(stored.ids, labels, groups, queries, database, config.exclude_same_group)
    for name, words in (("unlabelled", "have no label"), ("without_positives", "share no label with another item")):
        if task.counts[name]:
            log.warning("%d of %d items %s and are no queries.", task.counts[name], len(queries), words)
    return task, np.array(database)


def _choose_split(config: RetrieveConfig, names: Sequence[str]) -> str | None:
    parts = [part for part in (config.queries, config.database) if part not in (None, "all")]
    if config.split is None and not parts:
        return None
    wanted = f"--split {config.split}" if config.split else f"The part {parts[0]!r}"
    if not names:
        raise UsageError(f"{wanted} needs a split, and the codes have none. Give --manifest with a split column.")
    if config.split is None and len(names) > 1:
        raise UsageError(f"{wanted} is one of the splits {', '.join(names)}; choose which with --split.")
    if config.split is not None and config.split not in names:
        raise UsageError(f"The codes have no split {config.split!r}; they have {', '.join(names)}.")
    return config.split or names[0]


def _part(known: dict[int, Annotation], split: str | None, part: str) -> list[int]:
    if split is None or part == "all":
        return sorted(known)
    rows = sorted(row for row, own in known.items() if own.splits.get(split) == part)
    if not rows:
        raise UsageError(f"Split {split!r} has no {part} items among the {len(known)} codes; see its column.")
    return rows


def _other_codes(path: Path, other: CodesFile, stored: CodesFile, set_name: str, queries: Sequence[Query]) -> Selection:
    """Codes of the queries from a file of their own, found by the name of the query or else of its picture."""
    names = ("features_fingerprint", "feature", "encode")
    differ = [name for name in names if other.provenance.get(name) != stored.provenance.get(name)]
    if differ:
        said = "; ".join(f"{n}: {other.provenance.get(n)} there, {stored.provenance.get(n)} here" for n in differ)
        raise UsageError(
            f"--query-codes {path} were not made as {stored.path} was ({said}). Extract and encode both alike."
        )
    row_of = rows_by_stem(other.ids)
    rows = [row_of.get(query.name, row_of.get(stem_of(stored.ids[query.row]))) for query in queries]
    absent = [query.name for query, row in zip(queries, rows, strict=True) if row is None]
    if absent:
        raise UsageError(
            f"--query-codes {path} has no codes of {len(absent)} of {len(queries)} queries ({some(absent)}). Name its "
            "items like the queries, or like their pictures."
        )
    return Selection(other.code_rows(set_name), np.array(rows))
