"""``vidfeat report correspondence``: pictures rebuilt from the patches of others that are nearest in feature space.

Source: J. Y.-H. Ng, *Video Understanding with Deep Networks*, 2018, section 2.4.3, after J. Long, N. Zhang, T. Darrell,
*Do Convnets Learn Correspondence?*, 2014.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vidfeat import interrupt
from vidfeat.datasets.items import Item
from vidfeat.datasets.listing import list_items
from vidfeat.errors import ItemError, UsageError
from vidfeat.features import Layer
from vidfeat.features.cells import nearest_cells
from vidfeat.progress import Progress
from vidfeat.report.dynamic_image import MAX_SHEET_PIXELS, png
from vidfeat.report.patches import Grid, Rebuilt, average, correspondence_pixels, correspondence_sheet
from vidfeat.stages.config.patches import CorrespondenceConfig
from vidfeat.stages.devices import device_failures
from vidfeat.stages.failures import write_failures
from vidfeat.stages.local_frames import LocalFrame, LocalFrames, most_frames, single_device, sources_of
from vidfeat.stages.one_picture import check_picture_place
from vidfeat.stages.request import ignored_files
from vidfeat.stages.summary import Summary
from vidfeat.stages.tally import Tally
from vidfeat.store import write_bytes
from vidfeat.words import counted

log = logging.getLogger("vidfeat")


def run(config: CorrespondenceConfig) -> Summary:
    """Write one PNG: a row for each target, in columns what it looks like rebuilt.

    UsageError before any work for bad input; ItemError if nothing was readable on one side; StorageError if the picture
    cannot be written. A picture that was there before stays in all these cases.
    """
    started = time.monotonic()
    device = single_device(config.device)
    targets, references = list_items([config.target]), list_items(config.references)
    items = [*targets.items, *references.items]
    check_picture_place([config.target, *config.references], config.output, items, config.overwrite)
    _check_others(targets.items, references.items)
    with device_failures(device):
        frames = LocalFrames(config, device)
        _check_sheet(config, targets.items, frames)
        frames.check_memory((targets.items, config.target_frames), (references.items, config.frames))
        log.info(
            "%s, %s.%s", counted(len(targets.items), "target"), counted(len(references.items), "reference"),
            ignored_files(references),
        )  # fmt: skip
        with interrupt.deferred(), Progress(len(items)) as progress:
            tally = Tally(progress)
            try:
                shown = frames.read(targets.items, config.target_frames, tally)
                others = frames.read(references.items, config.frames, tally) if shown else []
            finally:
                write_failures(config.output, tally.failures)
        for found, name in ((shown, "target"), (others, "reference")):
            if not found:
                raise ItemError(f"No {name} could be read, so nothing is drawn; {config.output}.failures.csv says why.")
        with interrupt.deferred(), Progress(len(shown) * len(frames.layers), "maps", rows="cells") as progress:
            made = [_row(config.counts, frames, target, others, progress) for target in shown]
    sheet = correspondence_sheet(_headings(config, frames.layers), [row for row, _ in made])
    write_bytes(config.output, png(sheet))
    return Summary(
        {
            "output": str(config.output),
            "items": len(items),
            "layers": {layer.name: list(layer.shape) for layer in frames.layers},
            "neighbours": config.counts,
            "targets": [fact for _, fact in made],
            "references": len(others),
            **tally.as_dict(time.monotonic() - started),
        },
        exit_code=tally.exit_code,
    )


def _row(
    counts: Sequence[int], frames: LocalFrames, target: LocalFrame, references: Sequence[LocalFrame], progress: Progress
) -> tuple[Rebuilt, dict[str, Any]]:
    """A target rebuilt by all layers, and what a summary says of it."""
    versions, distances = [], {}
    for layer in frames.layers:
        grid = frames.grid(layer)
        made = rebuild(grid, layer.name, target, references, counts, frames.device, progress.add_frames)
        versions += [picture for picture, _ in made]
        means = [round(mean, 6) for _, mean in made]
        distances[layer.name] = dict(zip(map(str, counts), means, strict=True))
        progress.item_done()
    return Rebuilt(target.name, target.pixels, versions), target.place | {"distances": distances}


def rebuild(
    grid: Grid,
    layer: str,
    target: LocalFrame,
    references: Sequence[LocalFrame],
    counts: Sequence[int],
    device: str,
    done: Callable[[int], None] = lambda count: None,
) -> list[tuple[np.ndarray, float]]:
    """For each count the target with every patch replaced by the average of so many nearest ones, and their mean
    distance. References from the target's own source are left out. ``done`` is told of cells as they are found.

    UsageError if there are fewer patches than asked for.
    """
    others = [reference for reference in references if reference.source != target.source]
    if max(counts) > len(others) * len(grid):
        raise UsageError(
            f"--neighbours is {','.join(map(str, counts))}, but there are {len(others) * len(grid)} patches of {layer} "
            f"for {target.name}, as its own do not count. Ask for fewer, or give more references."
        )
    cells = [reference.features[layer] for reference in others]
    found = nearest_cells(target.features[layer], cells, max(counts), device=device, idle=interrupt.check, done=done)
    made = []
    for count in counts:
        patches = [
            average([grid.patch(others[number].pixels, cell) for number, cell in zip(numbers, places, strict=True)])
            for numbers, places in zip(found.maps[:, :count].tolist(), found.cells[:, :count].tolist(), strict=True)
        ]
        made.append((grid.rebuilt(patches), float(found.distances[:, :count].mean())))
    return made


def _headings(config: CorrespondenceConfig, layers: Sequence[Layer]) -> list[str]:
    return [f"{layer.name}, {count} nearest" for layer in layers for count in config.counts]


def _check_others(targets: Sequence[Item], references: Sequence[Item]) -> None:
    """UsageError if a target has nothing but itself to be rebuilt from."""
    files = set(sources_of(references).values())
    for name, source in sources_of(targets).items():
        if files == {source}:
            raise UsageError(
                f"The only reference of {name} is {name} itself, which does not count. Give other images or videos."
            )


def _check_sheet(config: CorrespondenceConfig, targets: Sequence[Item], frames: LocalFrames) -> None:
    rows = most_frames(targets, config.target_frames)
    versions = len(frames.layers) * len(config.counts)
    pixels = correspondence_pixels(rows, versions, frames.size)
    if pixels > MAX_SHEET_PIXELS:
        raise UsageError(
            f"{counted(rows, 'row')} of {versions + 1} pictures of {frames.size}x{frames.size} would take "
            f"{pixels / 1e6:.0f} million pixels, more than the {MAX_SHEET_PIXELS / 1e6:.0f} million of one picture; "
            "lower --target-frames or --size, or give fewer targets, layers or --neighbours."
        )
