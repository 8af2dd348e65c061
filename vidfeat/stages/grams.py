"""``svm --kernel precomputed``: Gram matrices in place of codes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.stages.labelled import LabelledCodes, relabelled
from vidfeat.store.grams import read_gram

PRECOMPUTED = "precomputed"
SET = "gram"  # what stands for the name of a set of codes


def read_labelled_grams(paths: Sequence[Path], manifest: Path) -> LabelledCodes:
    """The items of the manifest; their "codes" are the kernels ``[N, N]`` with all of them, one array for each file."""
    grams = [read_gram(path) for path in paths]
    for gram in grams:
        gram.check_symmetric()
        if set(gram.ids) != set(grams[0].ids):
            only = sorted(set(gram.ids) ^ set(grams[0].ids))
            raise UsageError(
                f"{grams[0].path} and {gram.path} must hold the same items; {only[0]!r} is in one of them only "
                f"({len(only)} such)."
            )
    ids = sorted(grams[0].ids)
    nothing = np.empty((len(ids), 0))
    sources = tuple({"path": str(gram.path), "set": SET, "provenance": {}} for gram in grams)
    unknown = LabelledCodes(ids, nothing, [()] * len(ids), [""] * len(ids), {}, {}, sources=sources)
    data = relabelled(unknown, manifest)
    first, *more = (gram.between(data.ids, data.ids) for gram in grams)
    return replace(data, codes=first, more=tuple(more))


def read_rows(paths: Sequence[Path], support_ids: list[str]) -> LabelledCodes:
    """Items to be scored: their kernels ``[m, support vectors]``, one array for each file."""
    grams = [read_gram(path) for path in paths]
    ids = sorted(grams[0].ids)
    first, *more = (gram.between(ids, support_ids) for gram in grams)
    return LabelledCodes(ids, first, [()] * len(ids), [""] * len(ids), {}, {}, more=tuple(more))
