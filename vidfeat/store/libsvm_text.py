"""Codes as LIBSVM text: ``<class> <dimension>:<value> …``, one line per item, dimensions counted from 1.

Beside FILE, FILE.items.csv has what the format has no place for: id, label, group and splits of every line, in order.
It is a manifest, too. Classes are numbered from 1 in the order of their sorted names, several joined by commas; an item
without a label has 0. The first line names the last dimension even where it is 0, so that none is lost.
"""

import csv
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.store import fs, run
from vidfeat.store.assemble import temporary_name
from vidfeat.store.codes import CodesWriter, open_codes
from vidfeat.store.reader import split_labels

_ROWS = 256  # read at one time


def items_file(path: Path) -> Path:
    """Where the items of a LIBSVM text file are named."""
    return path.with_name(path.name + ".items.csv")


def export_libsvm(path: Path | str, target: Path | str, *, set_name: str | None = None, overwrite: bool = False) -> int:
    """Write one set of the codes file ``path`` (its only one, if not named) to ``target``; the number of items."""
    path, target = Path(path), Path(target)
    for place in (target, items_file(target)):
        if place.resolve() == path.resolve():
            raise UsageError(f"{target} is both the source and the target. Choose another target.")
        if place.is_dir():
            raise UsageError(f"The output {place} is a folder; give the name of a file, such as codes.libsvm.")
        if place.exists() and not overwrite:
            raise UsageError(f"{place} exists already. Choose another target, or --overwrite to replace it.")
    if not target.parent.is_dir():
        raise UsageError(f"The folder {target.parent} does not exist. Create it first.")
    with open_codes(path) as stored:
        if set_name is None and len(stored.sets) != 1:
            there = ", ".join(stored.sets) or "no codes"
            raise UsageError(f"{path} has {there}; a LIBSVM file holds one set. Choose it with --feature.")
        codes = stored.code_rows(set_name or stored.sets[0])
        classes = sorted({name for own in stored.labels for name in own})
        number = {name: str(c) for c, name in enumerate(classes, start=1)}
        temporary = temporary_name(target)
        try:
            with fs.writing(target):
                with temporary.open("w", encoding="ascii") as stream:
                    for start in range(0, len(codes), _ROWS):
                        for row, code in enumerate(codes[start : start + _ROWS], start):
                            own = ",".join(number[name] for name in stored.labels[row]) or "0"
                            stream.write(f"{own} {_entries(code, whole=row == 0)}\n")
                    stream.flush()
                    fs.fsync(stream.fileno())
                names = sorted(stored.splits)
                rows = [
                    [item_id, "|".join(stored.labels[i]), stored.groups[i], *(stored.splits[name][i] for name in names)]
                    for i, item_id in enumerate(stored.ids)
                ]
                run.write_csv(items_file(target), ["id", "label", "group", *names], rows)
                fs.rename(temporary, target)
                fs.fsync_dir(target.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return len(stored.ids)


def import_libsvm(source: Path | str, out: Path | str, *, overwrite: bool = False) -> list[str]:
    """Write the codes file ``out`` from LIBSVM text; the ids.

    Without FILE.items.csv beside it, items are called ``line-000001`` and so on, and labelled with the numbers of the
    file. UsageError naming the line that is no LIBSVM text, counts dimensions from 0, or holds NaN or infinity.
    """
    source, out = Path(source), Path(out)
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists already. Choose another output, or --overwrite to replace it.")
    dimension, count, numbers = 0, 0, []
    for line in _lines(source):
        dimension, count = max(dimension, *line.dimensions, 0), count + 1
        numbers.append(line.labels)
    if not count or not dimension:
        raise UsageError(
            f"{source} holds no codes: lines of LIBSVM text, '<class> <dimension>:<value> …', are expected."
        )
    items, splits = _items(source, numbers)
    provenance = {"features": {}, "features_fingerprint": f"libsvm text of {dimension} dimensions", "feature": None,
                  "encode": {}, "extraction": None, "import": {"kind": "libsvm", "source": str(source)}}  # fmt: skip
    codes = np.zeros((count, dimension), dtype=np.float32)
    for row, line in enumerate(_lines(source)):
        codes[row, np.array(line.dimensions, dtype=int) - 1] = line.values
    order = sorted(range(count), key=lambda row: items[row][0])
    with CodesWriter(out, provenance) as writer:
        for row in order:
            item_id, label, group, *parts = items[row]
            named = {name: part for name, part in zip(splits, parts, strict=True) if part}
            writer.append(item_id, {"default": codes[row]}, split_labels(label), group, named)
    return [items[row][0] for row in order]


class _Line(NamedTuple):
    labels: str
    dimensions: list[int]
    values: list[float]


def _entries(code: np.ndarray, whole: bool) -> str:
    """Non-zero entries; 9 digits give every float32 back exactly. ``whole``: the last one in any case."""
    kept = np.flatnonzero(code).tolist()
    if whole and (not kept or kept[-1] != len(code) - 1):
        kept.append(len(code) - 1)
    return " ".join(f"{d + 1}:{code[d]:.9g}" for d in kept)


def _lines(source: Path) -> Iterator[_Line]:
    try:
        with source.open(encoding="utf-8") as stream:
            for number, text in enumerate(stream, start=1):
                if fields := text.partition("#")[0].split():
                    yield _line(fields, f"{source}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read {source}: {error}.") from None


def _line(fields: list[str], place: str) -> _Line:
    labels = "" if ":" in fields[0] else fields.pop(0)
    dimensions, values = [], []
    for entry in fields:
        d, _, value = entry.partition(":")
        try:
            dimensions.append(int(d))
            values.append(float(value))
        except ValueError:
            raise UsageError(f"{place}: {entry!r} is not <dimension>:<value>.") from None
    if dimensions and dimensions[0] < 1:
        raise UsageError(
            f"{place}: dimension {dimensions[0]}; LIBSVM counts from 1. Write the file with zero_based=False "
            "(scikit-learn's dump_svmlight_file counts from 0 by default)."
        )
    if any(a >= b for a, b in itertools.pairwise(dimensions)):
        raise UsageError(f"{place}: dimensions must be ascending.")
    if not all(map(math.isfinite, values)):
        raise UsageError(f"{place} holds NaN or infinite values. Leave the item out.")
    return _Line(labels, dimensions, values)


def _items(source: Path, numbers: list[str]) -> tuple[list[list[str]], list[str]]:
    """(id, label, group, splits …) of every line, and the names of the splits."""
    path = items_file(source)
    if not path.exists():
        return [[f"line-{n:06d}", own.replace(",", "|"), ""] for n, own in enumerate(numbers, start=1)], []
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        head, *rows = csv.reader(stream)
    if head[:3] != ["id", "label", "group"] or any(len(row) != len(head) for row in rows) or len(rows) != len(numbers):
        raise UsageError(
            f"{path} does not fit {source}: expected the columns id,label,group,… and {len(numbers)} rows, found "
            f"{','.join(head[:3])},… and {len(rows)}. Export both again, or remove it to number the items."
        )
    return rows, head[3:]
