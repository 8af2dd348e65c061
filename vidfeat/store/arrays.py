"""Small HDF5 files of named arrays with checksums: codebooks, kernel machines.

/            attrs: format, version, what else the kind of file says of itself, done=true (last)
/<name>      an array, attr crc32
"""

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vidfeat.errors import UsageError
from vidfeat.store import attributes, fs, layout, output
from vidfeat.store.assemble import temporary_name


@contextmanager
def new_file(path: Path, head: Mapping[str, Any]) -> Iterator[h5py.File]:
    """A file with the attributes ``head``, which appears (or is replaced) whole when the block ends without an error.
    StorageError if the disk fails."""
    temporary = temporary_name(path)
    with fs.writing(path):
        if temporary.exists():
            fs.unlink(temporary)
    file = output.OutputFile(temporary)
    try:
        attributes.write_attrs(file.h5["/"], head)
        yield file.h5
        attributes.write_attrs(file.h5["/"], {layout.DONE: True})
        file.check()
    except BaseException:
        file.abandon()
        raise
    file.publish(path)


def check_kind(h5: h5py.File, path: Path, expected: tuple[str, int], what: str, advice: str) -> None:
    """UsageError unless format and version are the expected ones."""
    came = attributes.read_attr(h5["/"], "format"), attributes.read_attr(h5["/"], "version")
    if came != expected:
        raise UsageError(
            f"{path} holds no {what} that this vidfeat reads: format and version are {came}, expected {expected}. "
            f"{advice}"
        )


def write_array(h5: h5py.File, name: str, array: np.ndarray) -> None:
    array = np.asarray(array, order="C")
    checked = {"chunks": True, "fletcher32": True} if array.ndim else {}
    dataset = h5.create_dataset(name, data=array, **checked)
    attributes.write_attrs(dataset, {layout.CRC32: zlib.crc32(array)})


def read_array(h5: h5py.File, path: Path, name: str) -> np.ndarray:
    """StorageError if the bytes are not those that were written."""
    array = np.asarray(h5[name][()], order="C")
    if zlib.crc32(array) != attributes.read_attr(h5[name], layout.CRC32):
        raise output.unreadable(path, name, ValueError("the bytes are not those that were written"))
    return array
