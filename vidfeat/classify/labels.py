"""From an item's labels to the matrix that classifiers and metrics take."""

from collections.abc import Sequence

import numpy as np

from vidfeat.errors import UsageError


def class_names(labels: Sequence[Sequence[str]]) -> list[str]:
    """All labels that occur, sorted."""
    return sorted({name for of_item in labels for name in of_item})


def indicator(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> np.ndarray:
    """Which item has which label: bool ``[items, classes]``. A label that is no class is an error."""
    column = {name: c for c, name in enumerate(classes)}
    matrix = np.zeros((len(labels), len(classes)), dtype=bool)
    for row, of_item in enumerate(labels):
        for name in of_item:
            if name not in column:
                raise UsageError(
                    f"Item {row} has the label {name!r}, none of the {len(classes)} classes ({_some(classes)}). "
                    "Correct the label, or train with items of that class."
                )
            matrix[row, column[name]] = True
    return matrix


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(map(str, names[:most])) + (f", … ({len(names)} in all)" if len(names) > most else "")
