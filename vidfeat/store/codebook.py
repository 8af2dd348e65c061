"""Codebooks of local features, and reductions of codes: book.h5.

/            attrs: format="vidfeat-codebook", version=1, kind (vlad, fv, bow, pca), parameters and provenance (JSON),
             fingerprint (SHA-256 of kind, parameters and arrays), done=true (last)
/<name>      arrays by name (centers, weights, means, variances, components, offset, projection, …), attr crc32
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.store import attributes, layout, output
from vidfeat.store.arrays import check_kind, new_file, read_array, write_array
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
    head = {"format": FORMAT, "version": VERSION, "kind": book.kind, "parameters": dict(book.parameters),
            "provenance": dict(book.provenance), "fingerprint": book.fingerprint}  # fmt: skip
    with new_file(path, head) as h5:
        for name, array in book.arrays.items():
            write_array(h5, name, array)


def is_codebook(path: Path) -> bool:
    """Whether a file that exists is a codebook. UsageError or StorageError as :func:`read_codebook`."""
    with output.open_hdf5(path, _ADVICE) as h5:
        return attributes.read_attr(h5["/"], "format") == FORMAT


def read_codebook(path: Path) -> Codebook:
    """UsageError if it is missing or of another kind, StorageError if it is damaged."""
    with output.open_hdf5(path, _ADVICE) as h5:
        check_kind(h5, path, (FORMAT, VERSION), "codebook", _ADVICE)
        try:
            arrays = {name: read_array(h5, path, name) for name in h5}
            head = attributes.read_attrs(h5["/"])
            book = Codebook(head["kind"], arrays, json.loads(head["parameters"]), json.loads(head["provenance"]))
        except layout.H5_ERRORS as error:
            raise output.unreadable(path, "the arrays", error) from error
    if book.fingerprint != head["fingerprint"]:
        raise output.unreadable(path, "the codebook", ValueError("its fingerprint is not that of its arrays"))
    return book
