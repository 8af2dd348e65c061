"""What is in a feature file, for ``vidfeat info``."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from vidfeat.store import layout
from vidfeat.store.lock import read_owner
from vidfeat.store.reader import open_features

# Item attributes in which the items of one file may differ without being another extraction.
MIXABLE = ("device", "versions")


def summary(path: Path | str) -> dict[str, Any]:
    """A JSON-able description of a feature file, finished or still being written.

    ``items``, ``states`` (state -> items), ``labels`` (label -> items), ``frames``, ``fields``, ``flow_rows``
    and ``codes`` (rows of the frames themselves, of their flow, of features of flow, and of codes of whole items, where
    there are some), ``features`` (name ->
    items, rows, row shapes, types, bytes as plain arrays), ``file_bytes``, ``settings``, ``fingerprint``, ``run``,
    ``shard``, ``mixtures`` (device and versions -> value -> items), ``links`` (whether it is a file of links),
    ``parts`` (names of part files beside it), ``writer`` (who is writing it now, or None), ``in_progress``. UsageError
    as open_features.
    """
    path = Path(path)
    parts = layout.list_parts(layout.parts_folder(path))
    owner = read_owner(layout.parts_folder(path))
    features: dict[str, dict[str, Any]] = {}
    states, labels = Counter(), Counter()
    mixtures = {name: Counter() for name in MIXABLE}
    rows = Counter()
    with open_features(path) as file:
        for item_id in file:
            item = file[item_id]
            attrs = item.attrs
            states[attrs.get("state", "done")] += 1
            labels.update(item.labels)
            for name in MIXABLE:
                if name in attrs:
                    mixtures[name][str(attrs[name])] += 1
            rows.update({stream: item.shape(stream + "frame")[0] for stream in {*map(layout.stream_of, item.columns)}})
            for name in item.names:
                _count(features.setdefault(name, _nothing()), item.dataset(name))
        return {
            "path": str(path),
            "items": len(file),
            "states": dict(sorted(states.items())),
            "labels": dict(sorted(labels.items())),
            **_row_counts(rows, features),
            "features": dict(sorted(features.items())),
            "file_bytes": sum(p.stat().st_size for p in {path, *parts} if p.exists()),
            "settings": file.settings,
            "fingerprint": file.fingerprint,
            "run": file.run,
            "shard": list(file.shard) if file.shard else None,
            "mixtures": {name: dict(sorted(counts.items())) for name, counts in mixtures.items()},
            "links": file.has_links,
            "parts": [part.name for part in parts],
            "writer": dataclasses.asdict(owner) if owner else None,
            "in_progress": file.in_progress or owner is not None,
        }


def _row_counts(rows: Mapping[str, int], features: Collection[str]) -> dict[str, int]:
    """How many rows there are of each stream, by what they are rows of; no frames if nothing is there at all."""
    names = {"": "frames", "flow.": "fields" if "flow" in features else "flow_rows", "code.": "codes"}
    return {name: rows[stream] for stream, name in names.items() if rows[stream]} or {"frames": 0}


def _nothing() -> dict[str, Any]:
    return {"items": 0, "rows": 0, "row_shapes": [], "dtypes": [], "bytes": 0}


def _count(feature: dict[str, Any], dataset) -> None:
    feature["items"] += 1
    feature["rows"] += dataset.shape[0]
    feature["bytes"] += dataset.size * dataset.dtype.itemsize
    for key, value in (("row_shapes", list(dataset.shape[1:])), ("dtypes", str(dataset.dtype))):
        if value not in feature[key]:
            feature[key].append(value)
