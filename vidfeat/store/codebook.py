"""Codebooks of local features, and reductions of codes: book.h5.

/            attrs: format="vidfeat-codebook", version=1, kind (vlad, fv, bow, pca), parameters and provenance (JSON),
             fingerprint (SHA-256 of kind, parameters and arrays), done=true (last)
/<name>      arrays by name (centers, weights, means, variances, components, offset, projection, …), attr crc32
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.store import attributes, fs, layout, output
from vidfeat.store.assemble import temporary_name
from vidfeat.store.settings import canonical

FORMAT, VERSION = "vidfeat-codebook", 1
_ADVICE = "Make it with 'vidfeat codebook train FEATS --kind vlad -o book.h5'."


@dataclass(frozen=True)
class Codebook:
    """What was learnt from a training set.

    Attributes:
        kind: ``vlad``, ``fv``, ``bow`` (local features) or ``pca`` (codes).
        arrays: by name.
        parameters: of the estimator that learnt it.
        provenance: what it was learnt from.
    """

    kind: str
    arrays: Mapping[str, np.ndarray]
    parameters: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of kind, parameters and arrays: equal ones give equal codes."""
        digest = hashlib.sha256(canonical({"kind": self.kind, "parameters": self.parameters}).encode())
        for name, array in sorted(self.arrays.items()):
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.asarray(array, order="C"))
        return digest.hexdigest()

    def facts(self) -> dict[str, Any]:
        """What it is, in plain values: of arrays the shapes, and of single numbers the values."""
        return {
            "kind": self.kind,
            "arrays": {name: "×".join(map(str, a.shape)) or float(a) for name, a in self.arrays.items()},
            "parameters": dict(self.parameters),
            "provenance": dict(self.provenance),
            "fingerprint": self.fingerprint,
        }


def write_codebook(path: Path, book: Codebook) -> None:
    """Write a codebook, which appears (or is replaced) whole. StorageError if the disk fails."""
    if not path.parent.is_dir():
        raise UsageError(f"The folder {path.parent} of the output {path.name} does not exist. Create it.")
    with fs.writing(path):
        temporary = temporary_name(path)
        if temporary.exists():
            fs.unlink(temporary)
    file = output.OutputFile(temporary)
    try:
        head = {"format": FORMAT, "version": VERSION, "kind": book.kind, "parameters": dict(book.parameters),
                "provenance": dict(book.provenance), "fingerprint": book.fingerprint}  # fmt: skip
        attributes.write_attrs(file.h5["/"], head)
        for name, array in book.arrays.items():
            array = np.asarray(array, order="C")
            checked = {"chunks": True, "fletcher32": True} if array.ndim else {}
            dataset = file.h5.create_dataset(name, data=array, **checked)
            attributes.write_attrs(dataset, {layout.CRC32: zlib.crc32(array)})
        attributes.write_attrs(file.h5["/"], {layout.DONE: True})
        file.check()
    except BaseException:
        file.abandon()
        raise
    file.publish(path)


def is_codebook(path: Path) -> bool:
    """Whether a file that exists is a codebook. UsageError or StorageError as :func:`read_codebook`."""
    with output.open_hdf5(path, _ADVICE) as h5:
        return attributes.read_attr(h5["/"], "format") == FORMAT


def read_codebook(path: Path) -> Codebook:
    """UsageError if it is missing or of another kind, StorageError if it is damaged."""
    with output.open_hdf5(path, _ADVICE) as h5:
        came = attributes.read_attr(h5["/"], "format"), attributes.read_attr(h5["/"], "version")
        if came != (FORMAT, VERSION):
            raise UsageError(
                f"{path} is not a codebook that this vidfeat reads: format and version are {came}, expected "
                f"{(FORMAT, VERSION)}. {_ADVICE}"
            )
        try:
            arrays = {}
            for name, dataset in h5.items():
                arrays[name] = np.asarray(dataset[()])
                if zlib.crc32(np.asarray(arrays[name], order="C")) != attributes.read_attr(dataset, layout.CRC32):
                    raise output.unreadable(path, name, ValueError("the bytes are not those that were written"))
            head = attributes.read_attrs(h5["/"])
            book = Codebook(head["kind"], arrays, json.loads(head["parameters"]), json.loads(head["provenance"]))
        except layout.H5_ERRORS as error:
            raise output.unreadable(path, "the arrays", error) from error
    if book.fingerprint != head["fingerprint"]:
        raise output.unreadable(path, "the codebook", ValueError("its fingerprint is not that of its arrays"))
    return book
