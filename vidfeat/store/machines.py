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
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.store import attributes, fs, layout, output
from vidfeat.store.assemble import temporary_name
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
    with fs.writing(path):
        temporary = temporary_name(path)
        if temporary.exists():
            fs.unlink(temporary)
    file = output.OutputFile(temporary)
    try:
        facts = json.dumps(dict(machines.facts), ensure_ascii=False)
        attributes.write_attrs(file.h5["/"], {"format": FORMAT, "version": VERSION, "facts": facts})
        write_texts(file.h5, "ids", machines.ids)
        arrays = {f"codes/{number}": X for number, X in enumerate(machines.codes)}
        for name, array in {**arrays, "dual": machines.dual, "intercepts": machines.intercepts}.items():
            array = np.ascontiguousarray(array)
            dataset = file.h5.create_dataset(name, data=array, chunks=True, fletcher32=True)
            attributes.write_attrs(dataset, {layout.CRC32: zlib.crc32(array)})
        attributes.write_attrs(file.h5["/"], {layout.DONE: True})
        file.check()
    except BaseException:
        file.abandon()
        raise
    file.publish(path)


def read_machines(path: Path) -> Machines:
    """UsageError if it is missing or of another kind, StorageError if it is damaged."""
    with output.open_hdf5(path, _ADVICE) as h5:
        came = attributes.read_attr(h5["/"], "format"), attributes.read_attr(h5["/"], "version")
        if came != (FORMAT, VERSION):
            raise UsageError(
                f"{path} holds no kernel machines that this vidfeat reads: format and version are {came}, expected "
                f"{(FORMAT, VERSION)}. {_ADVICE}"
            )
        try:
            facts = json.loads(attributes.read_attr(h5["/"], "facts"))
            count = 0 if facts["kernel"] == "precomputed" else len(facts["scales"])
            names = [f"codes/{number}" for number in range(count)]
            arrays = {name: _checked(h5, path, name) for name in (*names, "dual", "intercepts")}
            ids = read_texts(h5["ids"])
        except layout.H5_ERRORS as error:
            raise output.unreadable(path, "the machines", error) from error
    return Machines(facts, ids, [arrays[name] for name in names], arrays["dual"], arrays["intercepts"])


def _checked(h5, path: Path, name: str) -> np.ndarray:
    array = np.ascontiguousarray(h5[name][()])
    if zlib.crc32(array) != attributes.read_attr(h5[name], layout.CRC32):
        raise output.unreadable(path, name, ValueError("the bytes are not those that were written"))
    return array
