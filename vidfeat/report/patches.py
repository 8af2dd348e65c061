"""Pictures of what local features see: pictures rebuilt from patches of others, and patches beside their nearest.

Source: J. Y.-H. Ng, *Video Understanding with Deep Networks*, 2018, section 2.4.3: correspondence and patch clusters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidfeat.report.labels import GREY, text_line

WHITE = 255
GAP, MARGIN = 4, 8  # white pixels between pictures, and around them
TILE = 96  # pixels of a patch beside its nearest
OUTLINE = (200, 200, 200)
MARK = (230, 40, 30)  # frame of the reference in its picture
_LEAST = 200  # pixels that a rebuilt picture is wide, for its heading


@dataclass(frozen=True)
class Grid:
    """The patches that stand for the cells of a map [C, rows, columns] of a square picture.

    They are an even grid over the picture, the thesis's n/n_l, with ⌈n/n_l⌉ pixels: where n/n_l is not whole, some
    share a row or column of pixels with the next.
    """

    size: int
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a patch."""
        return math.ceil(self.size / self.rows), math.ceil(self.size / self.columns)

    def __len__(self) -> int:
        return self.rows * self.columns

    def corner(self, cell: int) -> tuple[int, int]:
        """First row and column of a cell's patch."""
        height, width = self.shape
        row, column = divmod(cell, self.columns)
        return _first(row, self.rows, self.size, height), _first(column, self.columns, self.size, width)

    def patch(self, picture: np.ndarray, cell: int) -> np.ndarray:
        """The part of ``[n, n, 3]`` that stands for a cell, as a view."""
        top, left = self.corner(cell)
        height, width = self.shape
        return picture[top : top + height, left : left + width]

    def rebuilt(self, patches: Sequence[np.ndarray]) -> np.ndarray:
        """``[n, n, 3]``: a patch for each cell, in the order of the cells, at its place."""
        picture = np.empty((self.size, self.size, 3), np.uint8)
        for cell, patch in enumerate(patches):
            self.patch(picture, cell)[...] = patch
        return picture


def average(patches: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of patches of one size, uint8."""
    return np.rint(np.mean(patches, axis=0)).astype(np.uint8)


@dataclass(frozen=True)
class Rebuilt:
    """A picture, what it is, and the pictures made of it, all ``[n, n, 3]`` uint8 RGB."""

    name: str
    picture: np.ndarray
    versions: Sequence[np.ndarray]


def correspondence_sheet(headings: Sequence[str], rows: Sequence[Rebuilt]) -> np.ndarray:
    """A row for each picture: itself, then what it was rebuilt as; a heading over each column of the latter."""
    scale = math.ceil(_LEAST / rows[0].picture.shape[1])
    side = scale * rows[0].picture.shape[1]
    sheet = [_beside([text_line(text, side, align="center") for text in ("target", *headings)])]
    for row in rows:
        pictures = [np.kron(image, np.ones((scale, scale, 1), np.uint8)) for image in (row.picture, *row.versions)]
        line = _beside(pictures)
        sheet += [text_line(row.name, line.shape[1], size=11, colour=GREY), line]
    return _framed(_above(sheet))


def correspondence_pixels(rows: int, versions: int, size: int) -> int:
    """About how many pixels such a sheet has."""
    return rows * (versions + 1) * max(size, _LEAST) ** 2


@dataclass(frozen=True)
class Cluster:
    """A reference patch and its nearest.

    Attributes:
        name: of the picture that the reference is in.
        picture: that one, ``[n, n, 3]`` uint8 RGB.
        cell: of the reference.
        patches: the nearest, ``[h, w, 3]``, the nearest first.
        captions: lines of text for each of them, as many for all.
    """

    name: str
    picture: np.ndarray
    cell: int
    patches: Sequence[np.ndarray]
    captions: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """What one layer finds near to its references; ``heading`` says which it is."""

    heading: str
    grid: Grid
    clusters: Sequence[Cluster]


def cluster_sheet(sections: Sequence[Section]) -> np.ndarray:
    """A row for each reference: where it is in its picture, itself, and its nearest patches; layer below layer."""
    return _framed(_above([_above(_section(section), 2 * GAP) for section in sections], 4 * GAP))


def _section(section: Section) -> list[np.ndarray]:
    grid = section.grid
    width = _line_width(2 + max(len(cluster.patches) for cluster in section.clusters))
    titles = {
        "in its picture": TILE,
        "reference": TILE,
        "nearest of others, with L2 distance": width - _line_width(2) - GAP,
    }
    parts = [
        text_line(section.heading, width, size=14),
        _beside([text_line(title, room, size=11, colour=GREY) for title, room in titles.items()]),
    ]
    for cluster in section.clusters:
        reference = grid.patch(cluster.picture, cluster.cell)
        place = "cell {}, {}".format(*divmod(cluster.cell, grid.columns))
        captions = [_caption((cluster.name, place), _line_width(2)), *(_caption(c, TILE) for c in cluster.captions)]
        tiles = [_outlined(_tile(patch)) for patch in (reference, *cluster.patches)]
        parts.append(_above([_beside([_marked(cluster.picture, grid, cluster.cell), *tiles]), _beside(captions)], 1))
    return parts


def _caption(lines: Sequence[str], width: int) -> np.ndarray:
    return _above([text_line(line, width, size=10, colour=GREY) for line in lines], 0)


def _line_width(tiles: int) -> int:
    return tiles * (TILE + GAP) - GAP


def cluster_pixels(clusters: int, neighbours: int) -> int:
    """About how many pixels such a sheet has."""
    return clusters * (neighbours + 2) * (TILE + GAP) * (TILE + 40)


def _first(position: int, count: int, size: int, length: int) -> int:
    """Where the patch of a cell begins, of ``count`` in a line of pixels: the first at 0, the last at the end."""
    return (2 * position * (size - length) + count - 1) // (2 * (count - 1)) if count > 1 else 0


def _tile(patch: np.ndarray) -> np.ndarray:
    """A patch at the size that is shown."""
    import cv2

    shrinks = max(patch.shape) > TILE
    return cv2.resize(patch, (TILE, TILE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _marked(picture: np.ndarray, grid: Grid, cell: int) -> np.ndarray:
    """The whole picture at the size of a tile, with a frame around the patch of a cell."""
    import cv2

    tile = _tile(picture)
    (top, left), (height, width) = grid.corner(cell), grid.shape
    scale = TILE / grid.size
    first = round(left * scale) - 1, round(top * scale) - 1
    last = round((left + width) * scale), round((top + height) * scale)
    cv2.rectangle(tile, first, last, (WHITE,) * 3, 3)
    cv2.rectangle(tile, first, last, MARK, 1)
    return tile


def _outlined(tile: np.ndarray) -> np.ndarray:
    """The same with a thin line around it, as white on white would have no end."""
    tile[[0, -1]] = tile[:, [0, -1]] = OUTLINE
    return tile


def _beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one height from left to right."""
    gap = np.full((len(pictures[0]), GAP, 3), WHITE, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)


def _above(pictures: Sequence[np.ndarray], gap: int = GAP) -> np.ndarray:
    """Pictures one below the other, on white where one is narrower."""
    width = max(picture.shape[1] for picture in pictures)
    parts = [np.pad(part, ((0, gap), (0, width - part.shape[1]), (0, 0)), constant_values=WHITE) for part in pictures]
    return np.concatenate(parts)[: -gap or None]


def _framed(sheet: np.ndarray) -> np.ndarray:
    return np.pad(sheet, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), constant_values=WHITE)
