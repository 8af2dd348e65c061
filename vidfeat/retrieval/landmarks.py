"""Protocols of Oxford buildings and Paris: 55 queries each, a rectangle in a picture that shows a landmark.

Ground truth: for each query ``<landmark>_<n>_query.txt`` (picture, x1 y1 x2 y2), and lists of pictures that show the
landmark well (``_good.txt``), partly (``_ok.txt``), or hardly (``_junk.txt``). Good and ok are positives, junk is taken
out of the ranking, and the query stays in the database.

Sources: J. Philbin, O. Chum, M. Isard, J. Sivic, A. Zisserman, *Object Retrieval with Large Vocabularies and Fast
Spatial Matching*, 2007; the same, *Lost in Quantization*, 2008.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.retrieval.naming import read_lines, rows_by_stem, some, stem_of
from vidfeat.retrieval.queries import Query, Task, rows_of

log = logging.getLogger("vidfeat")

QUERIES = 55
_PREFIX = "oxc1_"  # of Oxford's query pictures alone
_SUFFIX = "_query.txt"


@dataclass(frozen=True)
class _Landmark:
    name: str
    picture: str
    rectangle: tuple[float, float, float, float]
    positives: frozenset[str]
    junk: frozenset[str]

    @property
    def pictures(self) -> frozenset[str]:
        return self.positives | self.junk | {self.picture}


def landmark_task(ids: Sequence[str], ground_truth: Path) -> Task:
    """Queries of a folder of ground-truth files; pictures are known by the last part of the id without its suffix.

    Positives without a code count as never found, as in the original program. UsageError if a query picture is missing,
    or a file is not as it should be.
    """
    landmarks = _read(ground_truth)
    wanted = frozenset().union(*(landmark.pictures for landmark in landmarks))
    row_of = rows_by_stem(ids, set(wanted))
    absent = sorted({landmark.picture for landmark in landmarks} - row_of.keys())
    if absent:
        asked = sum(landmark.picture in absent for landmark in landmarks)
        raise UsageError(
            f"The pictures of {asked} of {len(landmarks)} queries are not among the {len(ids)} codes ({some(absent)}). "
            "Encode the whole set; ids must end in the original names, such as all_souls_000013.jpg."
        )
    queries = [_query(landmark, row_of) for landmark in landmarks]
    positives = frozenset().union(*(landmark.positives for landmark in landmarks))
    counts = {
        "distractors": len(ids) - len(positives & row_of.keys()),
        "missing": len(wanted - row_of.keys()),
        "missing_positives": sum(query.missing for query in queries),
    }
    if len(queries) != QUERIES:
        log.warning("Oxford and Paris have %d queries; %s has %d.", QUERIES, ground_truth, len(queries))
    if counts["missing"]:
        log.warning(
            "%d pictures of the ground truth have no code (%s). They would be positives %d times, which count as never "
            "found. A few corrupt pictures of Paris are normal.",
            counts["missing"], some(sorted(wanted - row_of.keys())), counts["missing_positives"],
        )  # fmt: skip
    return Task(queries, counts)


def _query(landmark: _Landmark, row_of: dict[str, int]) -> Query:
    junk = rows_of(row_of[name] for name in landmark.junk if name in row_of)
    # In both lists: the original program skips junk first, and still counts the positive.
    positives = rows_of(row_of[name] for name in landmark.positives - landmark.junk if name in row_of)
    missing = len(landmark.positives) - len(positives)
    return Query(landmark.name, row_of[landmark.picture], positives, junk, missing, landmark.rectangle)


def _read(folder: Path) -> list[_Landmark]:
    if not folder.is_dir():
        raise UsageError(f"--ground-truth {folder} is not a folder; name the one that has the *{_SUFFIX} files.")
    names = [path.name.removesuffix(_SUFFIX) for path in folder.glob(f"*{_SUFFIX}")]
    if not names:
        raise UsageError(f"--ground-truth {folder} has no *{_SUFFIX}; name the folder of the unpacked ground truth.")
    return [_read_landmark(folder, name) for name in sorted(names, key=_natural)]


def _read_landmark(folder: Path, name: str) -> _Landmark:
    path = folder / (name + _SUFFIX)
    fields = " ".join(read_lines(path)).split()
    try:
        picture, *numbers = fields
        x1, y1, x2, y2 = map(float, numbers)
    except ValueError:
        raise UsageError(f"{path} must hold a picture and x1 y1 x2 y2; it holds {' '.join(fields)[:80]!r}.") from None
    good, ok, junk = (
        frozenset(map(stem_of, read_lines(folder / f"{name}_{kind}.txt"))) for kind in ("good", "ok", "junk")
    )
    if not good | ok:
        raise UsageError(f"{folder}: query {name} has no good and no ok picture, so nothing could be found.")
    return _Landmark(name, stem_of(picture).removeprefix(_PREFIX), (x1, y1, x2, y2), good | ok, junk)


def _natural(name: str) -> tuple[str, int, str]:
    landmark, _, number = name.rpartition("_")
    return (landmark, int(number), name) if number.isdecimal() else (name, 0, name)
