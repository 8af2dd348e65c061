"""``--dry-run``: items, rows and bytes, without decoding a frame or computing anything."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidfeat.datasets.items import Item
from vidfeat.errors import VidfeatError
from vidfeat.media.sampling import Sampling
from vidfeat.media.video import VideoReader
from vidfeat.stages.config.running import RunOptions
from vidfeat.stages.recorder import unfinished
from vidfeat.stages.request import sampling_of, select_items
from vidfeat.stages.summary import Summary
from vidfeat.store import open_features
from vidfeat.store.layout import list_parts, parts_folder
from vidfeat.store.settings import check_settings
from vidfeat.suffixes import IMAGE_SUFFIXES

# Settings that only a built network, or a download, can tell.
UNTOLD = ("dtype", "weights", "input", "flow-weights", "flow-input", "raft-weights")


@dataclass(frozen=True)
class Expected:
    """Frames that a sampling will keep of an item, by the container's own count or duration, and their size."""

    frames: int
    width: int
    height: int


def dry_run(
    config: RunOptions, settings: dict[str, Any], rows: str, rows_and_bytes: Callable[[Expected], tuple[int, int]]
) -> Summary:
    """Estimate from the containers' headers; items that cannot be opened are counted as unreadable."""
    request = select_items(config)
    done = {} if config.overwrite else finished(request.output, request.items, settings)
    todo = unfinished(request.items, done, strict=config.strict)
    expected = [expected_of(item, sampling_of(config)) for item in todo]
    counts = [rows_and_bytes(found) for found in expected if found is not None]
    return Summary(
        {
            "output": str(request.output),
            "items": len(request.items),
            "skipped": len(request.items) - len(todo),
            "unreadable": expected.count(None),
            rows: sum(count for count, _ in counts),
            "bytes": sum(size for _, size in counts),
        }
    )


def finished(output: Path, items: Iterable[Item], settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Attributes of the listed items that the output and its parts hold; UsageError if ``settings`` differ there."""
    done = {}
    for path in [*([output] if output.exists() else []), *list_parts(parts_folder(output))]:
        with open_features(path) as stored:
            if not len(stored):  # all items failed: whatever the settings, the run starts anew
                continue
            known = {name: value for name, value in stored.settings.items() if name in settings or name not in UNTOLD}
            check_settings(path, known, settings)
            done |= {item.id: stored[item.id].attrs for item in items if item.id in stored}
    return done


def expected_of(item: Item, sampling: Sampling) -> Expected | None:
    """What to expect of an item; None if it cannot be opened."""
    if item.path.suffix.lower() in IMAGE_SUFFIXES:
        # Of an image only the features are stored, never a field: its size does not matter.
        return Expected(1, 1, 1) if item.path.is_file() else None
    try:
        with VideoReader(item.path) as reader:
            info = reader.info
    except VidfeatError:
        return None
    seconds = info.frames_expected / info.fps if info.frames_expected and info.fps > 0 else info.duration or 0.0
    seconds = min(seconds, item.end if item.end is not None else math.inf) - (item.start or 0.0)
    if sampling.max_seconds is not None:
        seconds = min(seconds, sampling.max_seconds)
    total = max(0, round(seconds * info.fps)) if info.fps > 0 else 0
    if sampling.num_frames is not None:
        frames = min(sampling.num_frames, total)
    elif sampling.fps is not None and sampling.fps < info.fps:
        frames = math.ceil(seconds * sampling.fps)
    else:
        frames = math.ceil(total / sampling.stride)
    return Expected(frames, info.width, info.height)
