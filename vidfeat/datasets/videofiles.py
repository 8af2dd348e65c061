"""Finds the files that a data set's lists name, wherever below a folder they were unpacked."""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from vidfeat.datasets.listfile import decode
from vidfeat.errors import UsageError
from vidfeat.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vidfeat.words import counted

_NAMED = 2


class VideoFiles:
    """All videos below ``root``; links are followed, hidden names and loops passed over.

    ``used`` collects the files that ``find`` gave, so that those that no list names can be counted.
    """

    def __init__(self, root: Path, any_case: bool = False) -> None:
        self.root = root
        self.used: set[str] = set()
        self.count = 0
        self._any_case = any_case
        self._by_stem: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        self._by_folder: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        self._pictures: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
        for parts in _walk(root, ()):
            suffix = Path(parts[-1]).suffix.lower()
            folder = self._key(_readable(parts[-2])) if len(parts) > 1 else ""
            if suffix in VIDEO_SUFFIXES:
                self.count += 1
                self._by_stem[self._key(stem_of(_readable(parts[-1])))].append(parts)
                self._by_folder[folder].append(parts)
            elif suffix in IMAGE_SUFFIXES:
                self._pictures[folder][parts[:-1]] += 1

    def find(self, name: str, folders: Collection[str] = ()) -> tuple[Path | None, str]:
        """The file that ``name`` stands for, or None and the reason why there is none.

        ``name`` is a path as the data set has it; ``folder/`` stands for the one video in that folder. Wanted is, in
        this order: a file whose path ends in the name; the same file name in another folder, but not in one of
        ``folders``, which hold other videos; another suffix of a video, as recoded copies have; with ``any_case``,
        other letters' case. Of several equal ones the one with the shortest path; two of that kind are no answer.
        """
        matches = self._in_folder(name) if name.endswith("/") else self._named(name, folders)
        if not matches:
            return None, self._why_missing(name)
        best = min(rank for rank, _ in matches)
        chosen = sorted(parts for rank, parts in matches if rank == best)
        if len(chosen) > 1:
            named = ", ".join("/".join(map(_readable, parts)) for parts in chosen[:_NAMED])
            return None, f"{len(chosen)} files could be it: {named}{', …' if len(chosen) > _NAMED else ''}"
        self.used.add("/".join(chosen[0]))
        return self.root.joinpath(*chosen[0]), ""

    def _named(self, name: str, folders: Collection[str]) -> list[tuple[tuple, tuple[str, ...]]]:
        *above, last = name.split("/")
        matches = []
        for parts in self._by_stem.get(self._key(stem_of(last)), ()):
            place = [_readable(part) for part in parts[:-1]]
            there = place[-len(above) :] if above else []
            at_home = [*map(self._key, there)] == [*map(self._key, above)]
            if not at_home and place and self._key(place[-1]) in folders:
                continue
            file = _readable(parts[-1])
            other_case = stem_of(file) != stem_of(last) or (at_home and there != above)
            matches.append(((not at_home, file.lower() != last.lower(), other_case, len(parts)), parts))
        return matches

    def _in_folder(self, name: str) -> list[tuple[tuple, tuple[str, ...]]]:
        wanted = [self._key(part) for part in name.rstrip("/").split("/")]
        return [
            ((len(parts),), parts)
            for parts in self._by_folder.get(wanted[-1], ())
            if [self._key(_readable(part)) for part in parts[:-1][-len(wanted) :]] == wanted
        ]

    def _why_missing(self, name: str) -> str:
        *above, last = name.rstrip("/").split("/")
        wanted = [*map(self._key, above), self._key(stem_of(last))]
        for folder, number in self._pictures.get(wanted[-1], {}).items():
            if [self._key(_readable(part)) for part in folder[-len(wanted) :]] == wanted:
                return (
                    f"no video, only {counted(number, 'picture')} in {'/'.join(map(_readable, folder))}; join them "
                    "into a video"
                )
        return "not found"

    def folder_keys(self, names: Collection[str]) -> frozenset[str]:
        """The folders of ``names`` in the form that ``find`` takes."""
        return frozenset(self._key(name.split("/")[-2]) for name in names if "/" in name and not name.endswith("/"))

    def _key(self, text: str) -> str:
        return text.casefold() if self._any_case else text


def stem_of(name: str) -> str:
    """A file's name without the suffix of a video; any other dot belongs to the name."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in VIDEO_SUFFIXES else name


def _readable(name: str) -> str:
    return decode(os.fsencode(name))


def _walk(folder: Path, parts: tuple[str, ...], above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[tuple]:
    """The names, from the root down, of every file below ``folder``."""
    try:
        status = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"Cannot list the folder {folder}: {error.strerror}.") from None
    here = above | {(status.st_dev, status.st_ino)}
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            target = entry.stat()
            if (target.st_dev, target.st_ino) not in here:
                yield from _walk(folder / entry.name, (*parts, entry.name), here)
        elif entry.is_file():
            yield (*parts, entry.name)
