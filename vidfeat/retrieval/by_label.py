"""Protocol ``labels``: whatever shares a label with the query should be found."""

from collections.abc import Sequence

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.retrieval.queries import Query, Task


def label_task(
    ids: Sequence[str],
    labels: Sequence[Sequence[str]],
    groups: Sequence[str],
    queries: Sequence[int],
    database: Sequence[int],
    exclude_same_group: bool = False,
) -> Task:
    """Queries are the items at the rows ``queries`` that share a label with at least one other item of ``database``.

    Positives share any label. The query is taken out of its own ranking, with ``exclude_same_group`` all items of its
    group too (an item without a group is its own). Items without a label are no queries, and never positives.
    ``database`` are ascending rows; a Query's positives and ignored rows are positions in it. UsageError if nothing is
    left to ask for.
    """
    task = _ByLabel(ids, labels, groups, np.asarray(database, np.int64), exclude_same_group)
    labelled = [row for row in queries if labels[row]]
    asked = [row for row in labelled if len(task.positives(row))]
    if not asked:
        why = "none of them has a label; give --manifest with labels"
        if labelled:
            others = " of another group" if exclude_same_group else ""
            why = f"none of the {len(labelled)} with a label shares it with another item{others} in the database"
        raise UsageError(f"There is no query among {len(queries)} items: {why}.")
    counts = {"unlabelled": len(queries) - len(labelled), "without_positives": len(labelled) - len(asked)}
    return Task(_Queries(task, asked), counts)


class _ByLabel:
    """Positions in the database by label and by group."""

    def __init__(self, ids, labels, groups, database: np.ndarray, exclude_same_group: bool) -> None:
        self.ids, self._labels, self._groups = ids, labels, groups
        self._database, self._exclude = database, exclude_same_group
        self._with_label = _positions_by(labels[row] for row in database)
        self._of_group = _positions_by([groups[row]] if groups[row] else [] for row in database)
        self._none = np.empty(0, np.int64)

    def ignored(self, row: int) -> np.ndarray:
        place = np.searchsorted(self._database, row)
        own = [place] if place < len(self._database) and self._database[place] == row else []
        same = self._of_group.get(self._groups[row], self._none) if self._exclude else self._none
        return np.union1d(same, np.array(own, np.int64))

    def positives(self, row: int) -> np.ndarray:
        with_label = [self._with_label.get(name, self._none) for name in self._labels[row]]
        found = with_label[0] if len(with_label) == 1 else np.unique(np.concatenate([self._none, *with_label]))
        return np.setdiff1d(found, self.ignored(row), assume_unique=True)


class _Queries(Sequence):
    """Made when asked for: all lists of positives together can be larger than the codes."""

    def __init__(self, task: _ByLabel, rows: Sequence[int]) -> None:
        self._task, self._rows = task, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Query:
        row = self._rows[number]
        return Query(self._task.ids[row], row, self._task.positives(row), self._task.ignored(row))


def _positions_by(names_of_items) -> dict[str, np.ndarray]:
    found: dict[str, list[int]] = {}
    for place, names in enumerate(names_of_items):
        for name in names:
            found.setdefault(name, []).append(place)
    return {name: np.array(places, np.int64) for name, places in found.items()}
