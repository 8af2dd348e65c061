"""What the official lists of a data set say, item by item, and what every importer shares.

An importer is one module with ``read(place) -> Official``. It only reads lists; which file an item is in is found
afterwards, in ``importing.py``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from vidfeat.datasets.items import LABEL_SEPARATOR
from vidfeat.errors import UsageError
from vidfeat.ids import check_id


@dataclass(slots=True)
class Entry:
    """One item of the lists.

    ``names`` are the files that hold exactly this item, as paths that may lie anywhere below ROOT, the likeliest first;
    ``whole_names`` are longer files, of which ``start`` to ``end`` (seconds) is the item. ``where`` is the line that
    named it first. ``problem`` says why it cannot be an item of a manifest at all.
    """

    id: str
    where: str
    names: tuple[str, ...] = ()
    whole_names: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None
    labels: tuple[str, ...] = ()
    group: str = ""
    splits: dict[str, str] = field(default_factory=dict)
    problem: str = ""


class Official(NamedTuple):
    """The lists of one data set.

    ``classes`` maps the official number of a class, or where there is none the position in sorted order, to its label.
    ``sizes`` is how many items the full data set has in each (split, part): a list that was cut short is noticed.
    """

    entries: list[Entry]
    classes: Mapping[int, str]
    sizes: Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Place:
    """Where to look: ``root`` holds the videos; ``splits`` is the folder or file of the lists, if it was given.

    ``whole_videos``: an annotation's whole video is the item, not each of its segments.
    """

    root: Path
    splits: Path | None = None
    whole_videos: bool = False

    def lists(self, pattern: str, what: str, prefer: Sequence[str] = ()) -> Path:
        """The folder that holds files named like ``pattern``: --splits or a folder in it; else ROOT, what is beside it.

        Of several folders, the nearest; of several equally near, the one whose name is in ``prefer``. UsageError if
        there is none, or no way to choose.
        """
        if self.splits is not None and not self.splits.exists():
            raise UsageError(f"--splits {self.splits} does not exist; it is the folder or file of {what}.")
        if self.splits is not None and self.splits.is_file():
            return self.splits.parent
        bases = [self.splits] if self.splits is not None else [self.root, self.root.absolute().parent]
        for folders in (level for base in bases for level in ([base], _folders_in(base))):
            found = [folder for folder in folders if any(folder.glob(pattern))]
            found = [folder for folder in found if folder.name in prefer] or found
            if len(found) > 1:
                named = ", ".join(map(str, found))
                raise UsageError(f"{what} could be in any of {named}. Say which with --splits.")
            if found:
                return found[0]
        looked = " and ".join(str(base) for base in bases)
        raise UsageError(
            f"Found no {pattern} in {looked}, or in the folders there. Give the folder of {what} with --splits."
        )


class Collector:
    """Joins what several lines say about one item.

    Labels add up; a split that calls an item train in one line and test in another is a problem of that item.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def add(
        self,
        item_id: str,
        where: str,
        *,
        labels: Iterable[str] = (),
        splits: Mapping[str, str] | None = None,
        **more: object,
    ) -> Entry:
        """The entry of ``item_id``, with these labels and splits; ``more`` are fields of a new entry."""
        entry = self._entries.get(item_id)
        if entry is None:
            try:
                check_id(item_id)
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from None
            entry = self._entries[item_id] = Entry(item_id, where, **more)
        for label in labels:
            if not label or LABEL_SEPARATOR in label or label != label.strip():
                raise UsageError(
                    f"{where}: the label {label!r} is empty or has {LABEL_SEPARATOR!r} or spaces around it; correct "
                    "the list."
                )
            if label not in entry.labels:
                entry.labels = (*entry.labels, label)
        for name, part in (splits or {}).items():
            before = entry.splits.setdefault(name, part)
            if before != part:
                entry.problem = f"{name} is {before} in {entry.where} and {part} in {where}"
        return entry

    def entries(self) -> list[Entry]:
        """All entries, in the order in which they were first named."""
        return list(self._entries.values())

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._entries


def numbered(labels: Iterable[str]) -> dict[int, str]:
    """Labels in sorted order, counted from 0: the convention where a data set has no numbers of its own."""
    return dict(enumerate(sorted(set(labels))))


def sized(**splits: tuple[int, ...]) -> dict[tuple[str, str], int]:
    """``split1=(9537, 3783)``: items of train and test; with three numbers of train, val and test."""
    names = {2: ("train", "test"), 3: ("train", "val", "test")}
    return {
        (split, part): number
        for split, numbers in splits.items()
        for part, number in zip(names[len(numbers)], numbers, strict=True)
    }


def _folders_in(base: Path) -> list[Path]:
    try:
        return sorted(path for path in base.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise UsageError(f"Cannot list the folder {base}: {error.strerror}.") from None
