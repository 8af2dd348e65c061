"""Trained kernel machines: model.h5 of a run.

/              attrs: format="vidfeat-machines", version=1, facts (JSON: kernel, gammas, scales, multiclass, classes),
               done=true (last)
/ids           [S] UTF-8 text: the training items that are support vectors
/codes/<k>     [S, D] their codes in the k-th set of codes, attr crc32; none where the kernel came precomputed
/dual          [machines, S] float64 coefficients with sign, attr crc32
/intercepts    [machines] float64, attr crc32

The decision value of a machine is Σ dual κ + intercept, where κ = Σ_k κ_k / scales[k] is not centred.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.store import attributes, layout, output
from vidfeat.store.arrays import check_kind, new_file, read_array, write_array
from vidfeat.store.codes import read_texts, write_texts

FORMAT, VERSION = "vidfeat-machines", 1
_ADVICE = "'vidfeat svm train' writes it into RUN."


@dataclass(frozen=True)
class Machines:
    """What the file holds."""

    facts: Mapping[str, Any]
    ids: Sequence[str]
    codes: Sequence[np.ndarray]
    dual: np.ndarray
    intercepts: np.ndarray


def write_machines(path: Path, machines: Machines) -> None:
    """Write the file, which appears whole. StorageError if the disk fails."""
    facts = json.dumps(dict(machines.facts), ensure_ascii=False)
    with new_file(path, {"format": FORMAT, "version": VERSION, "facts": facts}) as h5:
        write_texts(h5, "ids", machines.ids)
        for number, X in enumerate(machines.codes):
            write_array(h5, f"codes/{number}", X)
        write_array(h5, "dual", machines.dual)
        write_array(h5, "intercepts", machines.intercepts)


def read_machines(path: Path) -> Machines:
    """UsageError if it is missing or of another kind, StorageError if it is damaged."""
    with output.open_hdf5(path, _ADVICE) as h5:
        check_kind(h5, path, (FORMAT, VERSION), "kernel machines", _ADVICE)
        try:
            facts = json.loads(attributes.read_attr(h5["/"], "facts"))
            count = 0 if facts["kernel"] == "precomputed" else len(facts["scales"])
            codes = [read_array(h5, path, f"codes/{number}") for number in range(count)]
            dual, intercepts = (read_array(h5, path, name) for name in ("dual", "intercepts"))
            ids = read_texts(h5["ids"])
        except layout.H5_ERRORS as error:
            raise output.unreadable(path, "the machines", error) from error
    return Machines(facts, ids, codes, dual, intercepts)
