"""Sports-1M: 1,133,158 videos of 487 sports, several in some videos, one split.

Lists: ``original/{train,test}_partition.txt`` with ``URL 12,34``, and ``labels.txt``, whose first line is label 0; all
may be packed as ``.gz``. Source: A. Karpathy, G. Toderici, S. Shetty, T. Leung, R. Sukthankar, L. Fei-Fei, *Large-scale
Video Classification with Convolutional Neural Networks*, 2014.
"""

import re
from pathlib import Path

from vidfeat.datasets.listfile import Line, read_lines, two_fields
from vidfeat.datasets.official import Collector, Official, Place
from vidfeat.errors import UsageError

_VIDEO = re.compile(r"(?:.*[?&]v=|.*youtu\.be/|)([\w-]+)(?:&.*)?", re.ASCII)


def read(place: Place) -> Official:
    """The videos with all their labels; the id is YouTube's, and so is the name of the file, whatever its suffix."""
    folder = place.lists("train_partition.txt*", "Sports-1M's train_ and test_partition.txt", ("original",))
    classes = _read_classes(folder)
    collector = Collector()
    for part in ("train", "test"):
        for line in read_lines(_one_of(folder, f"{part}_partition.txt")):
            url, numbers = two_fields(line, "URL 12,34")
            video = _VIDEO.fullmatch(url)
            if not video:
                raise UsageError(f"{line.where}: {url!r} is no address of a YouTube video, such as …/watch?v=ID.")
            collector.add(
                video[1], line.where, labels=_labels(line, numbers, classes), splits={"split": part}, names=(video[1],)
            )
    return Official(collector.entries(), classes, {})


def _labels(line: Line, numbers: str, classes: dict[int, str]) -> list[str]:
    labels = []
    for number in numbers.split(","):
        label = classes.get(int(number)) if number.isascii() and number.isdigit() else None
        if label is None:
            raise UsageError(f"{line.where}: {number!r} is no label; labels.txt has 0 to {len(classes) - 1}.")
        labels.append(label)
    return labels


def _read_classes(folder: Path) -> dict[int, str]:
    # Numbered by line, blank lines too: a dropped one would move every label after it.
    return {line.number - 1: line.text for line in read_lines(_one_of(folder, "labels.txt"))}


def _one_of(folder: Path, name: str) -> Path:
    """The file, packed or not, in the folder of the lists or the one above it."""
    candidates = [base / (name + suffix) for base in (folder, folder.parent) for suffix in ("", ".gz")]
    for path in candidates:
        if path.is_file():
            return path
    raise UsageError(f"Found no {name} in {folder} or {folder.parent}, packed or not. Give their folder with --splits.")
