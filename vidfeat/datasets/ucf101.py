"""UCF101: 13,320 videos of 101 actions, three splits.

Lists: ``ucfTrainTestlist/`` with ``classInd.txt`` (``1 ApplyEyeMakeup``), ``trainlist0K.txt`` (``Class/video.avi 1``)
and ``testlist0K.txt`` (``Class/video.avi``, no label). Source: K. Soomro, A. Roshan Zamir, M. Shah, *UCF101: A Dataset
of 101 Human Actions Classes From Videos in The Wild*, 2012.
"""

import re
from pathlib import Path

from vidfeat.datasets.listfile import Line, clean_path, read_lines
from vidfeat.datasets.official import Collector, Official, Place, sized
from vidfeat.errors import UsageError

SIZES = sized(split1=(9537, 3783), split2=(9586, 3734), split3=(9624, 3696))

_LIST = re.compile(r"(train|test)list0?(\d+)\.txt")
_LINE = re.compile(r"(.+?\.\w+)(?:\s+(\d+))?")
_GROUP = re.compile(r"_g(\d+)_c\d+\.\w+$")


def read(place: Place) -> Official:
    """The items of all splits whose two lists are there.

    The label is the folder, in the spelling of ``classInd.txt``: HandstandPushups holds files named
    ``v_HandStandPushups_…``. A number behind the path must agree. The group is the class with ``gGG``, whose videos
    show one person or place.
    """
    folder = place.lists("trainlist*.txt", "UCF101's trainlist01.txt, testlist01.txt, …")
    classes = _read_classes(folder / "classInd.txt")
    spelled = {label.casefold(): label for label in classes.values()}
    collector = Collector()
    for number, lists in sorted(_find_lists(folder).items()):
        for part in ("train", "test"):
            if part not in lists:
                raise UsageError(f"{folder} has no {part}list{number:02d}.txt, only the other half of split {number}.")
            for line in read_lines(lists[part]):
                name, label = _parse(line, classes, spelled)
                group = _GROUP.search(name)
                collector.add(
                    name,
                    line.where,
                    labels=[label],
                    splits={f"split{number}": part},
                    names=(name,),
                    group=f"{label}/g{group[1]}" if group else "",
                )
    return Official(collector.entries(), classes, SIZES)


def _find_lists(folder: Path) -> dict[int, dict[str, Path]]:
    found: dict[int, dict[str, Path]] = {}
    for path in folder.iterdir():
        if match := _LIST.fullmatch(path.name):
            found.setdefault(int(match[2]), {})[match[1]] = path
    return found


def _read_classes(path: Path) -> dict[int, str]:
    classes = {}
    for line in read_lines(path):
        number, _, label = line.text.partition(" ")
        if not number.isascii() or not number.isdigit() or not label.strip():
            raise UsageError(f"{line.where}: {line.text!r} is not of the form '1 ApplyEyeMakeup'.")
        classes[int(number)] = label.strip()
    return classes


def _parse(line: Line, classes: dict[int, str], spelled: dict[str, str]) -> tuple[str, str]:
    match = _LINE.fullmatch(line.text)
    if not match or clean_path(match[1]).count("/") != 1:
        raise UsageError(f"{line.where}: {line.text!r} is not of the form 'Class/video.avi', with or without a number.")
    name = clean_path(match[1])
    folder = name.split("/")[0]
    label = spelled.get(folder.casefold())
    if label is None:
        raise UsageError(f"{line.where}: classInd.txt has no class {folder!r}.")
    if match[2] and classes.get(int(match[2])) != label:
        other = classes.get(int(match[2]), "not in classInd.txt")
        raise UsageError(f"{line.where}: the folder is {folder!r}, but class {match[2]} is {other!r}.")
    return name, label
