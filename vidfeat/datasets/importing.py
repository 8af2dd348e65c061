"""From the official lists of a data set and the videos on disk to the items of a manifest."""

import importlib
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vidfeat.datasets.items import Item
from vidfeat.datasets.official import Entry, Official, Place
from vidfeat.datasets.videofiles import VideoFiles
from vidfeat.errors import UsageError
from vidfeat.ids import check_ids
from vidfeat.words import counted

log = logging.getLogger("vidfeat")


class Importer(NamedTuple):
    """``module`` has ``read``; ``any_case``: lists and files differ in case; ``whole_videos``: it has segments."""

    module: str
    any_case: bool = False
    whole_videos: bool = False


IMPORTERS = {
    # Lists say HandstandPushups/v_HandStandPushups_…, and copies have either spelling.
    "ucf101": Importer("ucf101", any_case=True),
    "hmdb51": Importer("hmdb51"),
    "jhmdb": Importer("jhmdb"),
    "ucf-sports": Importer("ucf_sports"),
    "hollywood2": Importer("hollywood2"),
    "sports1m": Importer("sports1m"),
    "kinetics": Importer("kinetics"),
    "activitynet": Importer("activitynet", whole_videos=True),
}


class LeftOut(NamedTuple):
    """A listed item that cannot be in the manifest: where it was expected, why it is left out, and what lists it."""

    id: str
    expected: str
    reason: str
    where: str


@dataclass(frozen=True)
class Imported:
    """``items`` have a file; ``left_out`` have none, or contradict themselves.

    ``listed`` counts all listed items by (split, part), ``sizes`` how many the full data set has where that is known.
    ``regrouped`` groups were dissolved because an official split separates them; ``unlisted`` videos are in no list.
    """

    items: list[Item]
    left_out: list[LeftOut]
    classes: Mapping[int, str]
    listed: Mapping[tuple[str, str], int]
    sizes: Mapping[tuple[str, str], int]
    regrouped: int
    unlisted: int


def import_set(name: str, place: Place) -> Imported:
    """Read the lists of data set ``name`` and find its files.

    Official splits are kept as they are. Where one separates the items of a group, the group is dissolved: each of its
    items becomes a group of its own, as ``vidfeat svm train`` refuses groups that are on both sides.

    Raises UsageError for lists that cannot be found or read, and if not one listed item has a file.
    """
    importer = IMPORTERS[name]
    if not place.root.is_dir():
        raise UsageError(f"{place.root} is not a folder; ROOT is the folder that holds the data set's videos.")
    official: Official = importlib.import_module(f"vidfeat.datasets.{importer.module}").read(place)
    entries = official.entries
    if not entries:
        raise UsageError(f"The lists of {name} name no item; are the files empty?")
    check_ids(entry.id for entry in entries)
    log.info("%d items are listed; looking through %s for their videos", len(entries), place.root)
    files = VideoFiles(place.root, importer.any_case)
    groups, regrouped = official_groups(entries)
    folders = files.folder_keys({name for entry in entries for name in entry.names})
    items, left_out = [], []
    for entry, group in zip(entries, groups, strict=True):
        path, whole, reason = _find(entry, files, folders)
        expected = (entry.names or entry.whole_names)[0]
        if path is None:
            left_out.append(LeftOut(entry.id, expected, reason, entry.where))
        else:
            items.append(_item(entry, path, whole, group))
    if not items:
        first = left_out[0]
        raise UsageError(
            f"None of the {len(entries)} items of {name} can be used; {place.root} has "
            f"{counted(files.count, 'video')} below it. "
            f"The first: {first.expected!r} ({first.where}): {first.reason}. ROOT must be the folder of the videos."
        )
    listed = Counter((split, part) for entry in entries for split, part in entry.splits.items())
    unlisted = files.count - len(files.used)
    return Imported(items, left_out, official.classes, listed, official.sizes, regrouped, unlisted)


def official_groups(entries: Sequence[Entry]) -> tuple[list[str], int]:
    """The group of every entry, and how many groups were dissolved because a split separates them.

    An entry without a group is one of its own.
    """
    parts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in entries:
        for split, part in entry.splits.items():
            if entry.group and not entry.problem:
                parts[entry.group, split].add(part)
    separated = {group for (group, _), found in parts.items() if len(found) > 1}
    groups = [entry.id if entry.group in separated or not entry.group else entry.group for entry in entries]
    return groups, len(separated)


def _find(entry: Entry, files: VideoFiles, folders: frozenset[str]) -> tuple[Path | None, bool, str]:
    """(file or None, whether it is longer than the item, reason why there is none)."""
    reasons = []
    for names, whole in ((entry.names, False), (entry.whole_names, True)):
        for name in names:
            path, reason = files.find(name, folders)
            if path is not None:
                return (None, whole, entry.problem) if entry.problem else (path, whole, "")
            reasons.append(reason)
    # What is wrong with a file that is there says more than that another one is not.
    return None, False, entry.problem or next((reason for reason in reasons if reason != "not found"), "not found")


def _item(entry: Entry, path: Path, whole: bool, group: str) -> Item:
    start, end = (entry.start, entry.end) if whole else (None, None)
    try:
        return Item(entry.id, path, start, end, tuple(entry.labels), group, entry.splits)
    except UsageError as error:
        raise UsageError(f"{entry.where}: {error}") from None
