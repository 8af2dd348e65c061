"""ActivityNet 1.2 and 1.3: untrimmed videos with annotated segments of 100 or 200 activities.

List: ``activity_net.v1-3.min.json`` with ``{"database": {ID: {"subset": …, "annotations": [{"label": …, "segment": [s,
e]}]}}}``; videos are ``v_ID.mp4``, ``.mkv`` or ``.webm``. Source: F. Caba Heilbron, V. Escorcia, B. Ghanem,
J. C. Niebles, *ActivityNet: A Large-Scale Video Benchmark for Human Activity Understanding*, 2015.
"""

import json
from pathlib import Path
from typing import Any

from vidfeat.datasets.listfile import read_text
from vidfeat.datasets.official import Collector, Official, Place, numbered, sized
from vidfeat.errors import UsageError

SIZES = sized(split=(10024, 4926, 5044))

_PARTS = {"training": "train", "validation": "val", "testing": "test"}


def read(place: Place) -> Official:
    """Every annotated segment as an item ``v_ID/000``, ``v_ID/001``, …; with ``whole_videos`` every video, ``v_ID``.

    Segments of equal times are one item with several labels, and so is a whole video with several activities. A video
    without annotations, as all of the testing part, is one item without label. Some published segments are empty, such
    as [0, 0]. ``split_val`` is the usual protocol: test on the validation part.
    """
    path = _file(place)
    collector = Collector()
    labels: set[str] = set()
    for video, facts in _database(path).items():
        where = f"{path}, database.{video}"
        part = _part(facts, where)
        usual = {"train": {"split_val": "train"}, "val": {"split_val": "test"}, "test": {}}[part]
        common = {"splits": {"split": part, **usual}, "whole_names": (f"v_{video}", video), "group": f"v_{video}"}
        annotations = [_annotation(one, f"{where}.annotations[{k}]") for k, one in enumerate(_list(facts, where))]
        labels |= {label for label, _ in annotations}
        if place.whole_videos or not annotations:
            collector.add(f"v_{video}", where, labels=[label for label, _ in annotations], **common)
            continue
        numbers: dict[tuple[float, float], int] = {}
        for k, (label, (start, end)) in enumerate(annotations):
            number = numbers.setdefault((start, end), k)
            entry = collector.add(
                f"v_{video}/{number:03d}", f"{where}.annotations[{k}]", labels=[label], start=start, end=end, **common
            )
            if not 0 <= start < end:
                entry.problem = f"its segment [{start:g}, {end:g}] is empty or begins before 0"
    sizes = SIZES if place.whole_videos else {}
    return Official(collector.entries(), numbered(labels), sizes)


def _file(place: Place) -> Path:
    if place.splits is not None and place.splits.is_file():
        return place.splits
    folder = place.lists("activity_net*.json", "ActivityNet's activity_net.v1-3.min.json")
    files = sorted(folder.glob("activity_net*.json"))
    if len(files) > 1:
        named = ", ".join(path.name for path in files)
        raise UsageError(f"{folder} has {named}. Give the one you mean with --splits.")
    return files[0]


def _database(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {error.lineno}: this is not JSON: {error.msg}.") from None
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict) or not database:
        raise UsageError(f"{path} has no 'database' with videos in it; it must be like activity_net.v1-3.min.json.")
    return database


def _part(facts: Any, where: str) -> str:
    subset = facts.get("subset") if isinstance(facts, dict) else None
    if subset not in _PARTS:
        raise UsageError(f"{where}: subset is {subset!r}; allowed are {', '.join(_PARTS)}.")
    return _PARTS[subset]


def _list(facts: dict[str, Any], where: str) -> list[Any]:
    annotations = facts.get("annotations", [])
    if not isinstance(annotations, list):
        raise UsageError(f"{where}: annotations is {annotations!r}; it must be a list.")
    return annotations


def _annotation(one: Any, where: str) -> tuple[str, tuple[float, float]]:
    match one:
        case {"label": str(label), "segment": [int() | float() as start, int() | float() as end]}:
            return label.strip(), (float(start), float(end))
    raise UsageError(f"{where} is {one!r}; it must have a label and a segment [start, end] in seconds.")
