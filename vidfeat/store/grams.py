"""Gram matrices that were computed elsewhere, in a file of NumPy (.npz) or HDF5.

gram      [n, m] kernel values, finite
ids       [n] text: the items of the rows
columns   [m] text: the items of the columns; may be left out if they are those of the rows
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.ids import check_ids
from vidfeat.store import layout, output

_ADVICE = "Write it with numpy.savez('K.npz', gram=K, ids=ids), or as HDF5 with datasets of these names."
_SYMMETRIC = 1e-6  # of the largest entry


@dataclass(frozen=True)
class Gram:
    """Kernel values ``[n, m]`` between the items ``ids`` and the items ``columns``."""

    path: Path
    values: np.ndarray
    ids: list[str]
    columns: list[str]

    def between(self, rows: list[str], columns: list[str]) -> np.ndarray:
        """float64 ``[rows, columns]``, in these orders; UsageError naming the first item that the file lacks."""
        places = []
        for wanted, there, what in ((rows, self.ids, "row"), (columns, self.columns, "column")):
            place = {item_id: number for number, item_id in enumerate(there)}
            if missing := [item_id for item_id in wanted if item_id not in place]:
                raise UsageError(
                    f"{self.path} has no {what} of {missing[0]!r} ({len(missing)} such of {len(wanted)}). Compute the "
                    "kernel with all of these items."
                )
            places.append([place[item_id] for item_id in wanted])
        return self.values[np.ix_(*places)].astype(np.float64)

    def check_symmetric(self) -> None:
        """UsageError unless it is a kernel between training items: square, symmetric, no negative diagonal."""
        if self.ids != self.columns:
            raise UsageError(
                f"{self.path} is [{len(self.ids)}, {len(self.columns)}], of other items in its columns than in its "
                "rows. To train, give the kernel of all items with one another."
            )
        gap = float(np.abs(self.values - self.values.T).max())
        if gap > _SYMMETRIC * float(np.abs(self.values).max()) or (np.diagonal(self.values) < 0).any():
            raise UsageError(
                f"{self.path} is no kernel: it is not symmetric (differences up to {gap:.3g}), or has negative numbers "
                "in its diagonal. Check how it was computed, and that ids and rows are in one order."
            )


def read_gram(path: Path) -> Gram:
    """Read the file; UsageError if it is of another kind, or does not fit together."""
    if path.suffix.lower() == ".npz":
        found = _read_npz(path)
    else:
        with output.open_hdf5(path, _ADVICE) as h5:
            try:
                found = {name: h5[name][()] for name in ("gram", "ids", "columns") if name in h5}
            except layout.H5_ERRORS as error:
                raise output.unreadable(path, "the Gram matrix", error) from error
    if missing := [name for name in ("gram", "ids") if name not in found]:
        raise UsageError(f"{path} has no {missing[0]!r}, so it is no Gram matrix with ids. {_ADVICE}")
    values, ids = found["gram"], _texts(found["ids"])
    columns = _texts(found["columns"]) if "columns" in found else ids
    if values.dtype.kind not in "fiu" or values.shape != (len(ids), len(columns)) or not values.size:
        raise UsageError(
            f"{path}: gram is {values.dtype} of shape {values.shape}, with {len(ids)} ids and {len(columns)} columns; "
            "it must be real numbers, a row for each id and a column for each of the columns."
        )
    for names in (ids, columns):
        try:
            check_ids(names)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise UsageError(f"{path}: the row of {ids[bad[0]]!r} has NaN or infinite values. Compute the kernel again.")
    return Gram(path, values, ids, columns)


def _read_npz(path: Path) -> Mapping[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in ("gram", "ids", "columns") if name in file}
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist.") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"Cannot read {path}: {error}. {_ADVICE}") from None


def _texts(values: np.ndarray) -> list[str]:
    return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in np.ravel(values).tolist()]
