"""Kinetics-400, -600 and -700: clips of ten seconds from YouTube, one action each.

Lists: ``train.csv``, ``validate.csv`` or ``val.csv``, ``test.csv`` with
``label,youtube_id,time_start,time_end,split[,is_cc]``; that of the test part may lack ``label``. Source: W. Kay et al.,
*The Kinetics Human Action Video Dataset*, 2017; J. Carreira et al. for 600 (2018) and 700 (2019) classes.
"""

from collections.abc import Iterator
from pathlib import Path

from vidfeat.datasets.csvtext import parse_rows
from vidfeat.datasets.listfile import read_text
from vidfeat.datasets.official import Collector, Official, Place, numbered
from vidfeat.errors import UsageError

_NEEDED = ("youtube_id", "time_start", "time_end")
_PARTS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}


def read(place: Place) -> Official:
    """The clips of all lists.

    Clips are ``ID_SSSSSS_EEEEEE`` with start and end in whole seconds, in any folder and with any suffix; where only
    the whole video ``ID`` is there, the item is that part of it. Classes count in the order of the training labels, or
    of all labels where no training list is there.
    ``split_val`` is the usual protocol: test on the validation part, as the test part has no labels.
    """
    collector = Collector()
    training: set[str] = set()
    labels: set[str] = set()
    for path in _files(place):
        for where, row in _rows(path):
            part = _part(row, path, where)
            start, end = (_seconds(row[name], name, where) for name in ("time_start", "time_end"))
            clip = f"{row['youtube_id']}_{int(start):06d}_{int(end):06d}"
            label = row.get("label", "")
            labels |= {label} - {""}
            training |= {label} - {""} if part == "train" else set()
            usual = {"train": {"split_val": "train"}, "val": {"split_val": "test"}, "test": {}}[part]
            entry = collector.add(
                clip,
                where,
                labels=[label] if label else [],
                splits={"split": part, **usual},
                names=(f"{label}/{clip}", clip) if label else (clip,),
                whole_names=(row["youtube_id"],),
                start=start,
                end=end,
                group=row["youtube_id"],
            )
            if end <= start:
                entry.problem = f"its segment [{start:g}, {end:g}] is empty"
    return Official(collector.entries(), numbered(training or labels), {})


def _files(place: Place) -> list[Path]:
    """``--splits`` itself, or every CSV with a column ``youtube_id`` in the folder of the lists."""
    if place.splits is not None and place.splits.is_file():
        return [place.splits]
    for pattern in ("*train*.csv", "*.csv"):
        try:
            folder = place.lists(pattern, "Kinetics' train.csv, val.csv, test.csv")
            break
        except UsageError:
            if pattern == "*.csv":
                raise
    files = [path for path in sorted(folder.glob("*.csv")) if "youtube_id" in _header(path)]
    if not files:
        raise UsageError(f"No CSV in {folder} has a column youtube_id. Give the folder of the lists with --splits.")
    return files


def _header(path: Path) -> list[str]:
    try:
        return next(parse_rows(read_text(path)), (1, []))[1]
    except ValueError:
        return []


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(place, fields by column) of every row."""
    header: list[str] = []
    try:
        for number, fields in parse_rows(read_text(path)):
            where = f"{path}, line {number}"
            if not header:
                header = fields
                if missing := [name for name in _NEEDED if name not in header]:
                    raise UsageError(
                        f"{where}: column {missing[0]!r} is missing; needed are {', '.join(_NEEDED)}, and label and "
                        "split where they are known."
                    )
                continue
            if len(fields) != len(header):
                raise UsageError(f"{where}: {len(fields)} fields where the header has {len(header)} columns.")
            row = dict(zip(header, fields, strict=True))
            if not row["youtube_id"]:
                raise UsageError(f"{where}: youtube_id is empty; every row needs one.")
            yield where, row
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"{path}, {error}") from None


def _part(row: dict[str, str], path: Path, where: str) -> str:
    """What the column ``split`` says, or without one the name of the file."""
    said = row.get("split", "")
    if said in _PARTS:
        return _PARTS[said]
    named = [part for word, part in _PARTS.items() if word in path.stem.lower()]
    if said or not named:
        raise UsageError(
            f"{where}: the split is {said!r}; allowed are {', '.join(_PARTS)}, or no column split in a file named "
            "after its part, such as train.csv."
        )
    return named[0]


def _seconds(text: str, name: str, where: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"{where}: {name} is {text!r}; it must be a number of seconds, 0 or more.")
    return seconds
