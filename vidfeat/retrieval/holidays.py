"""Protocol of INRIA Holidays: 1,491 photographs in 500 groups, numbered 100000.jpg to 149902.jpg or so.

The first picture of each hundred is the query and is taken out of its own ranking; the others of its hundred are its
positives.

Source: H. Jégou, M. Douze, C. Schmid, *Hamming Embedding and Weak Geometric Consistency for Large Scale Image Search*,
2008, and the evaluation package ``eval_holidays`` that goes with it.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.retrieval.naming import read_lines, rows_by_stem, some, stem_of
from vidfeat.retrieval.queries import Query, Task, rows_of

log = logging.getLogger("vidfeat")

QUERIES, IMAGES = 500, 1491
_NAME = re.compile(r"1[0-4]\d{4}")
_FILES = ("perfect_result.dat", "holidays_images.dat")


def holidays_task(ids: Sequence[str], ground_truth: Path | None = None) -> Task:
    """Queries by the names of the items; with a ground truth by that, which also tells what is missing.

    ``ground_truth``: the folder ``eval_holidays``, its ``holidays_images.dat`` (a name per line) or its
    ``perfect_result.dat`` (query, then rank and name of each result). Other items are distractors. UsageError if a
    query picture is missing: the mean would be over other queries than everybody's.
    """
    if ground_truth is None:
        groups = _groups([stem_of(item_id) for item_id in ids])
        if not groups:
            raise UsageError(
                f"None of the {len(ids)} items is named like a picture of Holidays, such as 100000.jpg (first: "
                f"{ids[0] if ids else None!r}). Ids must end in the original names."
            )
    else:
        groups = _read_groups(ground_truth)
    wanted = {name for query, others in groups.items() for name in (query, *others)}
    row_of = rows_by_stem(ids, wanted)
    _check_queries(groups, row_of)
    queries, lone = [], 0
    for name in sorted(groups):
        found = [row_of[other] for other in groups[name] if other in row_of]
        if not groups[name]:
            lone += 1
            continue
        row = row_of[name]
        missing = len(groups[name]) - len(found)
        queries.append(Query(ids[row], row, rows_of(found), rows_of([row]), missing))
    if not queries:
        raise UsageError(f"None of the {lone} query pictures has another one of its group; encode the whole set.")
    counts = {
        "distractors": len(ids) - len(row_of),
        "missing": len(wanted) - len(row_of),
        "without_positives": lone,
    }
    _say(counts, len(queries), len(row_of))
    return Task(queries, counts)


def _groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Query -> the others of its hundred, of all names of that kind; the query itself need not be among them."""
    groups: dict[str, list[str]] = {}
    for name in sorted(filter(_NAME.fullmatch, set(names))):
        others = groups.setdefault(name[:4] + "00", [])
        if not name.endswith("00"):
            others.append(name)
    return groups


def _read_groups(path: Path) -> dict[str, list[str]]:
    if path.is_dir():
        there = [path / name for name in _FILES if (path / name).is_file()]
        if not there:
            raise UsageError(f"--ground-truth {path} has neither {_FILES[0]} nor {_FILES[1]}. Name eval_holidays.")
        path = there[0]
    lines = [line.split() for line in read_lines(path)]
    if lines and all(len(fields) == 1 for fields in lines):
        names = [stem_of(fields[0]) for fields in lines]
        odd = [name for name in names if not _NAME.fullmatch(name)]
        if odd:
            raise UsageError(f"{path} lists {odd[0]!r}; pictures of Holidays have names such as 100000.jpg.")
        return _groups(names)
    groups = {}
    for number, fields in enumerate(lines, 1):
        if len(fields) % 2 == 0 or not all(rank.isdecimal() for rank in fields[1::2]):
            raise UsageError(
                f"{path}, line {number}: expected a query and then rank and name of each result, as "
                f"'100000.jpg 0 100001.jpg 1 100002.jpg'; got {' '.join(fields[:6])!r}."
            )
        query, *others = map(stem_of, fields[::2])
        groups[query] = [name for name in dict.fromkeys(others) if name != query]
    if not groups:
        raise UsageError(f"{path} is empty; name perfect_result.dat or holidays_images.dat of eval_holidays.")
    return groups


def _check_queries(groups: Mapping[str, Sequence[str]], row_of: Mapping[str, int]) -> None:
    absent = sorted(groups.keys() - row_of.keys())
    if absent:
        raise UsageError(
            f"{len(absent)} of {len(groups)} query pictures are not among the codes ({some(absent)}). Encode the whole "
            "set; ids must end in the original names, such as 100000.jpg."
        )


def _say(counts: Mapping[str, int], queries: int, images: int) -> None:
    if (queries, images) != (QUERIES, IMAGES):
        log.warning(
            "Holidays has %d queries and %s images; here are %d and %d, so the figures are not those of the set.",
            QUERIES, f"{IMAGES:,}", queries, images,
        )  # fmt: skip
    if counts["missing"]:
        log.warning(
            "%d images of the ground truth have no code; positives among them are never found.", counts["missing"]
        )
