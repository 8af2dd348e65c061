"""The synthetic demo set: real video files of handwritten digits whose classes differ in motion and temporal order."""

import json
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidfeat.datasets.demo_frames import CLASSES, DEMO_VERSION, FPS, HEIGHT, WIDTH, frames
from vidfeat.datasets.items import Item
from vidfeat.datasets.manifest import write_manifest
from vidfeat.errors import StorageError

MANIFEST_NAME = "set.csv"
NEW_NAME, NEW_LABEL = "new.mp4", "shrink"
SERIES, TRAIN_SERIES = 10, 6
_MARKER_NAME = "demo.json"
_DIGITS_PER_SERIES = 160
# Encoder, pixel quality and the like of the two containers; one thread, so that a rerun gives the same bytes.
_CODECS = {
    ".mp4": ("libx264", {"crf": "18", "preset": "veryfast"}),
    ".avi": ("mpeg4", {"qmin": "3", "qmax": "3"}),
}


def write_demo(folder: Path, seed: int = 0) -> list[Item]:
    """Write the demo set below ``folder`` and return the items of its manifest.

    80 clips ``videos/CLASS/gNN.mp4|avi`` (160 × 120, 25 frames/s, 1.2 to 2 s), ``set.csv`` that labels, groups and
    splits them, and ``new.mp4`` (of class ``NEW_LABEL``), which the manifest does not know. The eight classes are four
    pairs: right/left, grow/shrink, appear/vanish, dip/hop. The classes of a pair show the same frames in another order:
    a code that ignores order can tell the pairs apart, and has to guess within one. The first three pairs are time
    reversals; dip (top – bottom – top) and hop (bottom – top – bottom) are each their own reversal, so that playing
    direction cannot tell them apart, while early, middle and late frames can. Each series gNN has one clip of every
    class and digits that no other series has; it is the group, and whole series are train (6) or test (4).

    A folder that holds the finished set of the same version and seed is left as it is, so that features extracted from
    it stay valid. Each file appears whole or not at all. Raises StorageError if a file cannot be written.
    """
    clips = [(label, series) for series in range(SERIES) for label in CLASSES]
    items = [_item(folder, label, series) for label, series in clips]
    items.sort(key=lambda item: item.id)
    marker = folder / _MARKER_NAME
    made = json.dumps({"version": DEMO_VERSION, "seed": seed}) + "\n"
    new = folder / NEW_NAME
    needed = [new, folder / MANIFEST_NAME, *(item.path for item in items)]
    try:
        if marker.is_file() and marker.read_text() == made and all(path.is_file() for path in needed):
            return items
        folder.mkdir(parents=True, exist_ok=True)
        marker.unlink(missing_ok=True)
        digits = _digits()
        for label, series in clips:
            _write_clip(_item(folder, label, series).path, frames(seed, label, series, digits[series]))
        _write_clip(new, frames(seed, NEW_LABEL, SERIES, digits[SERIES]))
        write_manifest(folder / MANIFEST_NAME, items)
        marker.write_text(made)
    except OSError as error:
        raise StorageError(f"Cannot write the demo set to {folder}: {error}.") from None
    return items


def _item(folder: Path, label: str, series: int) -> Item:
    # Both containers on both sides of the split, in every class.
    suffix = ".avi" if (series + list(CLASSES).index(label)) % 2 else ".mp4"
    name = f"{label}/g{series:02d}{suffix}"
    return Item(
        id=name,
        path=folder / "videos" / name,
        labels=(label,),
        group=f"g{series:02d}",
        splits={"split": "train" if series < TRAIN_SERIES else "test"},
    )


def _digits() -> np.ndarray:
    """scikit-learn's digits, values 0…16, as [series, digit, 8, 8]: disjoint runs of the data set."""
    from sklearn.datasets import load_digits

    images = load_digits().images.astype(np.int64)
    return images[: (SERIES + 1) * _DIGITS_PER_SERIES].reshape(SERIES + 1, _DIGITS_PER_SERIES, 8, 8)


def _write_clip(path: Path, pictures: Iterable[np.ndarray]) -> None:
    """Encode RGB frames as ``path``, under a temporary name until it is whole."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    codec, options = _CODECS[path.suffix]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with av.open(str(temporary), "w", format=path.suffix[1:], options={"fflags": "+bitexact"}) as container:
            stream = container.add_stream(codec, rate=FPS, options=options)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.time_base = Fraction(1, FPS)
            stream.codec_context.thread_count = 1
            for index, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, FPS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
