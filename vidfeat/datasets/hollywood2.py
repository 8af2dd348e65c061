"""Hollywood2: 12 actions in clips of 69 films, several in some clips; 823 train, 884 test, 810 with noisy labels.

Lists: ``ClipSets/CLASS_{train,test,autotrain}.txt`` with ``clip  FLAG``, 1 or -1; clips are ``AVIClips/clip.avi``. The
scenes of the same films, ``ClipSetsScenes``, have the same form. Source: M. Marszałek, I. Laptev, C. Schmid, *Actions
in Context*, 2009.
"""

import re
from pathlib import Path

from vidfeat.datasets.listfile import Line, clean_path, read_lines, two_fields
from vidfeat.datasets.official import Collector, Official, Place, numbered
from vidfeat.errors import UsageError

SIZES = {("split", "train"): 823, ("split", "test"): 884, ("split_auto", "train"): 810, ("split_auto", "test"): 884}

_ACTIONS = 12
_LIST = re.compile(r"(.+)_(train|test|autotrain)\.txt")
# Lists of all clips of a part, which are no class.
_ALL_CLIPS = ("actions", "scenes")
_SPLITS = {
    "train": {"split": "train"},
    "test": {"split": "test", "split_auto": "test"},
    "autotrain": {"split_auto": "train"},
}


def read(place: Place) -> Official:
    """The clips with all their labels.

    ``split`` has the clean training part, ``split_auto`` the one whose labels were found by text alone; both are tested
    on the same clips. ``actions_train.txt`` and its like are no classes.
    """
    folder = place.lists("*_test.txt", "Hollywood2's ClipSets, CLASS_test.txt, …", prefer=("ClipSets",))
    lists: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        if match := _LIST.fullmatch(path.name):
            lists.setdefault(match[2], {})[match[1]] = path
    labels = sorted({label for paths in lists.values() for label in paths if label not in _ALL_CLIPS})
    collector = Collector()
    for part, paths in lists.items():
        clips: dict[str, Line] = {}
        for label in labels:
            if label not in paths:
                raise UsageError(f"{folder} has no {label}_{part}.txt, but other classes have a {part} list.")
            _read_class(collector, paths[label], label, part, clips)
    return Official(collector.entries(), numbered(labels), SIZES if len(labels) == _ACTIONS else {})


def _read_class(collector: Collector, path: Path, label: str, part: str, clips: dict[str, Line]) -> None:
    """Add the clips of one list; ``clips`` has those of the part's other classes, which must be the same."""
    first = not clips
    here: dict[str, Line] = {}
    for line in read_lines(path):
        clip, flag = two_fields(line, "clip 1")
        if flag not in ("1", "-1"):
            raise UsageError(f"{line.where}: the flag is {flag!r}; allowed are 1 and -1.")
        name = clean_path(clip).split("/")[-1].removesuffix(".avi")
        if name in here:
            raise UsageError(f"{line.where}: {name!r} was given in line {here[name].number} already; name it once.")
        here[name] = line
        if not first and name not in clips:
            raise UsageError(f"{line.where}: {name!r} is not in {next(iter(clips.values())).path.name}.")
        entry_id = f"{name}.avi"
        positive = [label] if flag == "1" else []
        collector.add(entry_id, line.where, labels=positive, splits=_SPLITS[part], names=(entry_id,))
    if absent := clips.keys() - here.keys():
        missing = min(absent)
        raise UsageError(f"{path} has no line for {missing!r}, which is in {clips[missing].where}.")
    clips.update(here if first else {})
