"""HMDB51: 6,766 clips of 51 actions, three splits.

Lists: ``testTrainMulti_7030_splits/CLASS_test_splitK.txt`` with ``clip.avi FLAG``; 1 is train, 2 is test, 0 neither.
Source: H. Kuehne, H. Jhuang, E. Garrote, T. Poggio, T. Serre, *HMDB: A Large Video Database for Human Motion
Recognition*, 2011.
"""

import re
from pathlib import Path

from vidfeat.datasets.listfile import clean_path, read_lines, two_fields
from vidfeat.datasets.official import Collector, Official, Place, numbered, sized
from vidfeat.errors import UsageError

SIZES = sized(split1=(3570, 1530), split2=(3570, 1530), split3=(3570, 1530))

_LIST = re.compile(r"(.+)_test_split(\d+)\.txt")
_PARTS = {"0": None, "1": "train", "2": "test"}
# Body parts seen, camera motion, people, direction, quality, running number.
_TAIL = re.compile(r"_[fhlu]_(?:cm|nm)_np\d+_(?:ba|fr|le|ri)_(?:bad|goo|med)_\d+$")


def read(place: Place) -> Official:
    """The items of HMDB51; see :func:`read_flagged`."""
    folder = place.lists("*_test_split*.txt", "HMDB51's CLASS_test_split1.txt, …")
    return read_flagged(folder, SIZES)


def read_flagged(folder: Path, sizes: dict[tuple[str, str], int]) -> Official:
    """The items of lists named ``CLASS_test_splitK.txt``, as HMDB51 and JHMDB have them.

    No line has its class: it is the name of the file. Clips of class ``climb`` are not those of ``climb_stairs``,
    although both lists begin with ``climb``. The group is the film that a clip was cut from, within its class.
    """
    lists: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.iterdir()):
        if match := _LIST.fullmatch(path.name):
            lists.setdefault(match[1], {})[int(match[2])] = path
    numbers = sorted({number for paths in lists.values() for number in paths})
    collector = Collector()
    for label, paths in lists.items():
        for number in numbers:
            if number not in paths:
                raise UsageError(
                    f"{folder} has no {label}_test_split{number}.txt, but other classes have split {number}."
                )
            for line in read_lines(paths[number]):
                clip, flag = two_fields(line, "clip.avi FLAG")
                if flag not in _PARTS:
                    raise UsageError(
                        f"{line.where}: the flag is {flag!r}; allowed are 1 (train), 2 (test) and 0 (neither)."
                    )
                name = f"{label}/{clean_path(clip).split('/')[-1]}"
                splits = {f"split{number}": _PARTS[flag]} if _PARTS[flag] else {}
                collector.add(
                    name, line.where, labels=[label], splits=splits, names=(name,), group=f"{label}/{film_of(name)}"
                )
    return Official(collector.entries(), numbered(lists), sizes)


def film_of(name: str) -> str:
    """``brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi`` -> ``April_09``; the clip's own name if it has no film.

    The name is film, action, and six properties of the clip.
    """
    label, clip = name.split("/")
    stem = clip.rpartition(".")[0] or clip
    head = _TAIL.sub("", stem)
    film = head.removesuffix(f"_{label}") if head != stem else stem
    return film or stem
