"""``vidfeat export`` of flow: pictures of its levels, or Middlebury's ``.flo`` files, in a folder for each item."""

import json
import math
import re
from typing import Any

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.flow.flo import flo_bytes
from vidfeat.flow.levels import dequantise, quantise
from vidfeat.media.image import jpeg
from vidfeat.progress import Progress
from vidfeat.stages.config.files import ExportConfig
from vidfeat.stages.fields import FLOW, STREAM
from vidfeat.stages.places import NewFolder, check_free, check_replaceable, place_below
from vidfeat.store import FeatureFile, StoredItem, open_features

_OWN = re.compile(r"flow_(x_|y_)?\d{5,}\.(jpg|flo)|flow\.json")
_BYTES = 1 << 25  # of fields in memory at a time


def run(config: ExportConfig) -> int:
    """Write the fields of every item; how many.

    UsageError before any work: no flow in the file, no bound where one is needed, folders that are there already.
    """
    target = config.output
    if config.feature not in (None, FLOW):
        raise UsageError(f"--form {config.form} writes flow, not {config.feature!r}. Leave --feature out.")
    if not target.parent.is_dir():
        raise UsageError(f"The folder {target.parent} of the output {target.name} does not exist. Create it first.")
    if target.exists() and not target.is_dir():
        raise UsageError(f"The output {target} is a file; --form {config.form} writes a folder.")
    count = 0
    with open_features(config.features) as stored:
        ids = [item_id for item_id in stored if FLOW in stored[item_id]]
        if not ids:
            raise UsageError(f"{config.features} has no flow; 'vidfeat flow' writes files that have.")
        _check(config, stored, ids)
        with Progress(len(ids)) as progress:
            for item_id in ids:
                count += _export(config, stored[item_id])
                progress.item_done()
    return count


def _check(config: ExportConfig, stored: FeatureFile, ids: list[str]) -> None:
    for item_id in ids:
        place, item = place_below(config.output, item_id), stored[item_id]
        check_free(place, config.overwrite)
        check_replaceable(place, _OWN)
        own = item.notes(FLOW).get("bound")
        if item.dtype(FLOW) == np.uint8 and own is None:
            raise UsageError(f"The flow of {item_id!r} in {config.features} has no bound. 'vidfeat flow' writes one.")
        if config.form == "jpg" and own is None and config.bound is None:
            raise UsageError(f"The flow of {item_id!r} is float16, which has no bound. Give --bound, such as 20.")
        if own is not None and config.bound not in (None, own):
            raise UsageError(
                f"--bound is {config.bound:g}, but the flow of {item_id!r} is stored with bound {own:g}, which cannot "
                "be changed without loss. Leave --bound out."
            )


def _export(config: ExportConfig, item: StoredItem) -> int:
    folder, fields = NewFolder(place_below(config.output, item.id), _OWN), item.shape(FLOW)[0]
    bound = item.notes(FLOW).get("bound", config.bound)
    try:
        some = max(1, _BYTES // (math.prod(item.shape(FLOW)[1:]) * item.dtype(FLOW).itemsize))
        for start in range(0, fields, some):
            rows = item.rows(FLOW, start, start + some)
            for number, row in enumerate(rows, config.start_index + start):
                for name, data in _files(row, number, config.form, bound):
                    folder.write(name, data)
        folder.write("flow.json", json.dumps(_facts(config, item, bound), indent=1).encode())
        folder.publish()
    finally:
        folder.abandon()
    return fields


def _files(row: np.ndarray, number: int, form: str, bound: float | None) -> list[tuple[str, bytes]]:
    """Names and contents for one field."""
    quantised = row.dtype == np.uint8
    if form == "flo":
        field = dequantise(row, bound) if quantised else row.astype(np.float32)
        return [(f"flow_{number:05d}.flo", flo_bytes(field))]
    levels = row if quantised else quantise(row.astype(np.float32), bound)
    return [(f"flow_{axis}_{number:05d}.jpg", jpeg(levels[k])) for k, axis in enumerate("xy")]


def _facts(config: ExportConfig, item: StoredItem, bound: float | None) -> dict[str, Any]:
    """What the files cannot say: when and where each field begins, and how to turn the levels of pictures into pixels.

    ``bound`` None: float16 pixels, which have none.
    """
    return {
        "id": item.id,
        **({} if bound is None else {"bound": bound}),
        **({"pixels": "(level - 127.5) * 2 * bound / 255"} if config.form == "jpg" else {}),
        "start_index": config.start_index,
        "time": item[STREAM + "time"].tolist(),
        "frame": item[STREAM + "frame"].tolist(),
    }
