"""A fake extraction that is fast and gives the same rows every time, and a plain view of what a file holds."""

import zlib
from pathlib import Path

import numpy as np

from vidfeat.store import FeatureWriter, open_features

SETTINGS = {"backbone": "fake", "layers": ["fc7"], "fps": 6.0}
IDS = [
    "-dash.mp4",
    'a b/it\'s "quoted".avi',
    "a#1.mp4",
    "a/deep/er/clip.mp4",
    "a/deep/es.mp4",
    "a/é.mp4",
    "b.mp4",
    "bb",
    "bb.mp4",
    "c(1)&[2];~@.avi",
    "long.mp4",
    "z/video.mp4",
]
ODD_LENGTH = {"long.mp4": 1500}


def rows(item_id: str, version: int = 0, width: int = 8) -> dict[str, np.ndarray]:
    """The columns of one fake item; ``version`` stands for a source that has changed."""
    rng = np.random.default_rng([zlib.crc32(item_id.encode()), version])
    length = ODD_LENGTH.get(item_id, 3 + len(item_id) % 5)
    columns = {
        "fc7": rng.standard_normal((length, width), dtype=np.float32),
        "time": np.arange(length) / 25 + version,
        "frame": np.arange(length),
    }
    if item_id.startswith("a"):
        columns["conv5"] = rng.standard_normal((length, 2, 3, 3)).astype(np.float16)
    return columns


def extract(out: Path, ids=IDS, *, changed=(), settings=SETTINGS, run=None, close=True, **options) -> list[str]:
    """Store the items that are missing or changed; the ids that were computed."""
    writer = FeatureWriter(out, settings, run or {}, **options)
    todo = [i for i in ids if i not in writer.done or (i in changed and writer.done[i]["size"] != 1)]
    try:
        for item_id in todo:
            store_item(writer, item_id, int(item_id in changed))
    except BaseException:
        writer.stop()
        raise
    if close:
        writer.close()
    else:
        writer.stop()
    return todo


def store_item(writer: FeatureWriter, item_id: str, version: int = 0, block: int = 300) -> None:
    item = writer.item(item_id)
    columns = rows(item_id, version)
    for start in range(0, len(columns["time"]), block):
        for name, values in columns.items():
            item.append(name, values[start : start + block])
    item.finish(
        {"path": f"/videos/{item_id}", "size": version, "mtime": 1.5, "state": "done"},
        labels=("x", "y"),
        group=item_id[:1],
        splits={"split1": "train", "split2": ""},
    )


def contents(path: Path) -> dict:
    """Everything that a reader sees, comparable with ==."""
    with open_features(path) as file:
        return {
            "settings": file.settings,
            "items": {
                i: (
                    {n: (file[i][n].dtype.str, file[i][n].shape, file[i][n].tobytes()) for n in file[i].columns},
                    file[i].attrs,
                )
                for i in file
            },
        }


def beside(out: Path) -> list[str]:
    """Names in the folder of ``out``, those in OUT.parts included."""
    return sorted(str(p.relative_to(out.parent)) for p in out.parent.rglob("*"))
