"""``vidfeat report patches``: patches drawn from pictures, each beside those of other pictures nearest to it.

Source: J. Y.-H. Ng, *Video Understanding with Deep Networks*, 2018, section 2.4.3.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
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
from vidfeat.report.patches import Cluster, Grid, Section, cluster_pixels, cluster_sheet
from vidfeat.stages.config.patches import PatchesConfig
from vidfeat.stages.devices import device_failures
from vidfeat.stages.failures import write_failures
from vidfeat.stages.local_frames import LocalFrame, LocalFrames, single_device, sources_of
from vidfeat.stages.one_picture import check_picture_place
from vidfeat.stages.request import ignored_files
from vidfeat.stages.summary import Summary
from vidfeat.stages.tally import Tally
from vidfeat.store import write_bytes
from vidfeat.words import counted

log = logging.getLogger("vidfeat")

NEIGHBOURS = 10  # by default


def run(config: PatchesConfig) -> Summary:
    """Write one PNG: a row for each reference patch, for every layer.

    UsageError before any work for bad input; ItemError if fewer than two sources were readable; StorageError if the
    picture cannot be written. A picture that was there before stays in all these cases.
    """
    started = time.monotonic()
    device = single_device(config.device)
    listing = list_items(config.inputs)
    check_picture_place(config.inputs, config.output, listing.items, config.overwrite)
    with device_failures(device):
        frames = LocalFrames(config, device)
        _check_request(config, listing.items, frames)
        frames.check_memory((listing.items, config.frames))
        log.info("%s.%s", counted(len(listing.items), "item"), ignored_files(listing))
        with interrupt.deferred(), Progress(len(listing.items)) as progress:
            tally = Tally(progress)
            try:
                pictures = frames.read(listing.items, config.frames, tally)
            finally:
                write_failures(config.output, tally.failures)
            by_source: dict[Path, list[LocalFrame]] = {}
            for frame in pictures:
                by_source.setdefault(frame.source, []).append(frame)
            if len(by_source) < 2:
                raise ItemError(
                    f"Only {len(by_source)} of the images and videos could be read, and patches are compared with "
                    f"those of others, so nothing is drawn; {config.output}.failures.csv says why."
                )
            sections, facts = [], {}
            for layer in frames.layers:
                clusters, facts[layer.name] = _clusters(config, frames, layer, list(by_source.values()))
                sections.append(Section(_heading(config, frames, layer), frames.grid(layer), clusters))
    write_bytes(config.output, png(cluster_sheet(sections)))
    return Summary(
        {
            "output": str(config.output),
            "items": len(listing.items),
            "layers": {layer.name: list(layer.shape) for layer in frames.layers},
            "references": facts,
            **tally.as_dict(time.monotonic() - started),
        },
        exit_code=tally.exit_code,
    )


def _clusters(
    config: PatchesConfig, frames: LocalFrames, layer: Layer, sources: Sequence[Sequence[LocalFrame]]
) -> tuple[list[Cluster], list[dict[str, Any]]]:
    """The rows of a layer, and where their patches come from."""
    grid, name = frames.grid(layer), layer.name
    features = [[frame.features[name] for frame in source] for source in sources]
    drawn = draw_cells(features, config.references, config.seed)
    if len(drawn) < config.references:
        raise UsageError(
            f"--references is {config.references}, but only {len(drawn)} patches have features of {name} "
            f"that are not all zero. Ask for fewer, or give more inputs."
        )
    queries = np.stack([features[source][frame][cell] for source, frame, cell in drawn])
    # The nearest of each source alone, as one picture has many patches that are almost alike.
    nearest = [nearest_cells(queries, source, 1, device=frames.device, idle=interrupt.check) for source in features]
    distances = np.hstack([found.distances for found in nearest])
    clusters, facts = [], []
    for row, (own, frame, cell) in enumerate(drawn):
        distances[row, own] = np.inf
        order = np.argsort(distances[row], kind="stable")[: min(config.neighbours or NEIGHBOURS, len(sources) - 1)]
        found = [(sources[i][nearest[i].maps[row, 0]], int(nearest[i].cells[row, 0]), distances[row, i]) for i in order]
        picture = sources[own][frame]
        clusters.append(
            Cluster(
                picture.name, picture.pixels, cell,
                [grid.patch(other.pixels, at) for other, at, _ in found],
                [(other.item.id, " · ".join([f"{d:.3f}", *other.when])) for other, _, d in found],
            )
        )  # fmt: skip
        facts.append(
            _place(picture, grid, cell)
            | {"nearest": [_place(other, grid, at) | {"distance": round(float(d), 6)} for other, at, d in found]}
        )
    return clusters, facts


def draw_cells(sources: Sequence[Sequence[np.ndarray]], count: int, seed: int) -> list[tuple[int, int, int]]:
    """(source, frame, cell) of ``count`` cells, or of all there are: from one source after the other, in drawn order.

    ``sources`` have for each frame the features ``[cells, C]``. Cells without any feature are left out, as they are
    equally far from everything.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    left = []
    for frames in sources:
        places = np.argwhere(np.stack([cells.any(1) for cells in frames]))
        left.append(places[random.permutation(len(places))[:count]].tolist())
    order = random.permutation(len(sources)).tolist()
    rounds = range(max(map(len, left), default=0))
    return [(source, *left[source][i]) for i in rounds for source in order if i < len(left[source])][:count]


def _place(frame: LocalFrame, grid: Grid, cell: int) -> dict[str, Any]:
    return frame.place | {"cell": list(divmod(cell, grid.columns))}


def _heading(config: PatchesConfig, frames: LocalFrames, layer: Layer) -> str:
    grid = frames.grid(layer)
    height, width = grid.shape
    return (
        f"{layer.name} of {config.backbone}: {grid.rows}×{grid.columns} cells, patches of {height}×{width} of "
        f"{frames.size}×{frames.size} pixels"
    )


def _check_request(config: PatchesConfig, items: Sequence[Item], frames: LocalFrames) -> None:
    """UsageError if there is too little to compare, or too much for one picture."""
    others = len(set(sources_of(items).values())) - 1
    if others < 1:
        raise UsageError(
            f"The only image or video is {items[0].id}, and patches are compared with those of others. Give more."
        )
    if config.neighbours is not None and config.neighbours > others:
        raise UsageError(
            f"--neighbours is {config.neighbours}, but each of {others + 1} images or videos has "
            f"{counted(others, 'other')}, with one patch of each in a row. Ask for fewer, or give more inputs."
        )
    columns = config.neighbours or min(NEIGHBOURS, others)
    pixels = cluster_pixels(len(frames.layers) * config.references, columns)
    if pixels > MAX_SHEET_PIXELS:
        raise UsageError(
            f"{counted(len(frames.layers) * config.references, 'row')} of {columns + 2} patches would take "
            f"{pixels / 1e6:.0f} million pixels, more than the {MAX_SHEET_PIXELS / 1e6:.0f} million of one picture; "
            "lower --references or --neighbours, or name fewer layers."
        )
