"""The contact sheet of ``vidfeat retrieve``: which queries it shows, and their pictures."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidfeat.errors import ItemError, UsageError
from vidfeat.report.contact_sheet import Shot, retrieval_sheet
from vidfeat.report.dynamic_image import png
from vidfeat.retrieval.evaluation import Judged
from vidfeat.retrieval.naming import some
from vidfeat.retrieval.queries import Query
from vidfeat.stages.config.retrieve import RetrieveConfig
from vidfeat.stages.retrieve_problem import Problem, found
from vidfeat.stages.shots import ItemPictures
from vidfeat.words import counted

log = logging.getLogger("vidfeat")

ROWS, COLUMNS = 8, 8


@dataclass(frozen=True)
class Sheet:
    """numbers: of the queries to show."""

    numbers: list[int]
    pictures: ItemPictures


def prepare(config: RetrieveConfig, queries: Sequence[Query], ids: Sequence[str]) -> Sheet | None:
    """What will be shown; None if no sheet is asked for. UsageError if no query has a picture."""
    if config.contact_sheet is None or config.images is None:
        return None
    pictures = ItemPictures(config.images)
    numbers = _chosen(config.show, queries) if config.show else _sample(len(queries), config.rows or ROWS)
    shown = [ids[queries[number].row] for number in numbers]
    if not any(pictures.source(item_id) for item_id in shown):
        raise UsageError(
            f"None of the {len(shown)} queries to show has a picture: there is no file {pictures.place(shown[0])}. "
            "--images must be the folder that ids are relative to, or the features file of these codes."
        )
    return Sheet(numbers, pictures)


def _sample(count: int, rows: int) -> list[int]:
    """As many numbers below ``count``, evenly spaced: whoever they are, nobody chose them by how well they do."""
    rows = min(rows, count)
    return [(2 * row + 1) * count // (2 * rows) for row in range(rows)]


def _chosen(names: Sequence[str], queries: Sequence[Query]) -> list[int]:
    number_of = {query.name: number for number, query in enumerate(queries)}
    absent = [name for name in names if name not in number_of]
    if absent:
        raise UsageError(
            f"--show {absent[0]!r} is no query; there are {len(queries)}: {some([query.name for query in queries])}."
        )
    return [number_of[name] for name in names]


def draw(
    sheet: Sheet, problem: Problem, ids: Sequence[str], judged: Sequence[Judged], columns: int | None
) -> tuple[bytes, list[str]]:
    """The sheet as a PNG, and the ids whose pictures cannot be had."""
    failures: dict[str, str] = {}

    def shot(item_id: str, captions: Sequence[str], relevant: bool | None = None) -> Shot:
        try:
            return Shot(sheet.pictures.picture(item_id), captions, relevant)
        except ItemError as error:
            failures[item_id] = str(error)
            return Shot(None, captions, relevant)

    rows = []
    for number, places, distances in zip(
        sheet.numbers, *found(problem, sheet.numbers, columns or COLUMNS), strict=True
    ):
        query, own = problem.task.queries[number], judged[number]
        about = f"AP {own.ap:.3f} · {counted(own.positives, 'positive')}"
        rows.append([shot(ids[query.row], [query.name, about])])
        relevant = np.isin(places, query.positives)
        for place, distance, is_relevant in zip(places, distances, relevant, strict=True):
            if place >= 0:
                item_id = problem.ids[place]
                rows[-1].append(shot(item_id, [item_id, f"{distance:#.4g}"], bool(is_relevant)))
    for item_id, reason in sorted(failures.items()):
        log.warning("No picture of %s: %s.", item_id, reason.rstrip("."))
    return png(retrieval_sheet(rows)), sorted(failures)
