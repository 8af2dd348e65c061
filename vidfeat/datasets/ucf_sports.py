"""UCF Sports: 150 clips of 10 actions, one folder each: ``Diving-Side/001/`` to ``Walk-Front/022/``.

The data set itself comes with no split. The one that everybody uses takes the first third of every class, in the
order of its folders, for testing: 103 clips train, 47 test. Sources: M. D. Rodriguez, J. Ahmed, M. Shah, *Action MACH:
A Spatio-temporal Maximum Average Correlation Height Filter for Action Recognition*, 2008; T. Lan, Y. Wang, G. Mori,
*Discriminative Figure-Centric Models for Joint Action Localization and Recognition*, 2011.
"""

from vidfeat.datasets.listfile import clean_path, read_lines, two_fields
from vidfeat.datasets.official import Collector, Official, Place, numbered, sized
from vidfeat.errors import UsageError

SIZES = sized(split=(103, 47))

# Class -> (folder, clips in it), in the order in which the split counts them.
FOLDERS: dict[str, tuple[tuple[str, int], ...]] = {
    "Diving": (("Diving-Side", 14),),
    "Golf-Swing": (("Golf-Swing-Back", 5), ("Golf-Swing-Front", 8), ("Golf-Swing-Side", 5)),
    "Kicking": (("Kicking-Front", 10), ("Kicking-Side", 10)),
    "Lifting": (("Lifting", 6),),
    "Riding-Horse": (("Riding-Horse", 12),),
    "Running": (("Run-Side", 13),),
    "SkateBoarding": (("SkateBoarding-Front", 12),),
    "Swing-Bench": (("Swing-Bench", 20),),
    "Swing-Side": (("Swing-SideAngle", 13),),
    "Walking": (("Walk-Front", 22),),
}


def read(place: Place) -> Official:
    """All 150 items with the usual split, or with one of your own: --splits is then a file of lines such as
    ``Diving-Side/001 test``.

    The file in a clip's folder has any name. Some folders of the official archive, Diving-Side/008 to 014 among them,
    hold pictures alone.
    """
    parts = _usual() if place.splits is None else _read_parts(place)
    label_of = {folder: label for label, folders in FOLDERS.items() for folder, _ in folders}
    collector = Collector()
    for item_id, (part, where) in parts.items():
        label = label_of[item_id.split("/")[0]]
        collector.add(item_id, where, labels=[label], splits={"split": part}, names=(f"{item_id}/",))
    return Official(collector.entries(), numbered(FOLDERS), SIZES)


def _usual() -> dict[str, tuple[str, str]]:
    parts = {}
    for folders in FOLDERS.values():
        clips = [f"{folder}/{number:03d}" for folder, count in folders for number in range(1, count + 1)]
        for position, clip in enumerate(clips):
            part = "test" if position < len(clips) // 3 else "train"
            parts[clip] = (part, "the split of Lan et al.")
    return parts


def _read_parts(place: Place) -> dict[str, tuple[str, str]]:
    if not place.splits.is_file():
        raise UsageError(
            f"--splits {place.splits} is no file. For ucf-sports it is a file of lines such as 'Diving-Side/001 test'; "
            "without it the usual split is taken."
        )
    known = _usual()
    parts: dict[str, tuple[str, str]] = {}
    for line in read_lines(place.splits):
        name, part = two_fields(line, "Diving-Side/001 test")
        clip = clean_path(name).rstrip("/")
        if clip not in known:
            raise UsageError(f"{line.where}: there is no clip {clip!r}; they are Diving-Side/001 to Walk-Front/022.")
        if part not in ("train", "test"):
            raise UsageError(f"{line.where}: the part is {part!r}; allowed are train and test.")
        if clip in parts:
            raise UsageError(f"{line.where}: {clip!r} was given in {parts[clip][1]} already; name it once.")
        parts[clip] = (part, line.where)
    return parts
