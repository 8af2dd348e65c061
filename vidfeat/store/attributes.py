"""HDF5 attributes of the store: plain scalars, with strings of fixed length.

Fixed length rather than HDF5's variable-length strings, because those lie in a heap without checksums (a flipped byte
would go unseen) and are slower. Straight on h5py's low-level API: 20,000 items have some 500,000 attributes.
"""

import functools
import json
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5s, h5t

_SCALAR = h5s.create(h5s.SCALAR)
_NUMBERS = {bool: np.bool_, int: np.int64, float: np.float64}


def write_attrs(owner: h5py.HLObject, values: Mapping[str, Any]) -> None:
    """Set attributes in the given order; existing names are refused by HDF5.

    str, bool, int, float and NumPy scalars and number arrays are stored as such; lists and mappings as JSON text;
    None is left out. Bytes of a path that are not UTF-8 survive through surrogate escapes.
    """
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, Mapping | list | tuple):
            value = json.dumps(value, ensure_ascii=False)
        if isinstance(value, str):
            _write_text(owner.id, name, value.encode("utf-8", "surrogateescape"))
        elif isinstance(value, np.ndarray):
            owner.attrs.create(name, value)
        else:
            number = np.asarray(value, dtype=_NUMBERS.get(type(value)))
            if number.dtype.kind not in "biuf":
                raise TypeError(
                    f"Attribute {name!r} is a {type(value).__name__}; allowed are text, numbers, lists, dicts."
                )
            h5a.create(owner.id, name.encode(), _number_type(number.dtype), _SCALAR).write(number)


def _write_text(owner: h5py.h5g.GroupID, name: str, text: bytes) -> None:
    size = max(1, len(text))
    kind = _text_type(size)
    h5a.create(owner, name.encode(), kind, _SCALAR).write(np.array(text, dtype=f"S{size}"), kind)


@functools.lru_cache(maxsize=256)
def _text_type(size: int) -> h5t.TypeID:
    kind = h5t.C_S1.copy()
    kind.set_size(size)
    kind.set_cset(h5t.CSET_UTF8)
    kind.set_strpad(h5t.STR_NULLPAD)
    return kind


@functools.lru_cache
def _number_type(dtype: np.dtype) -> h5t.TypeID:
    return h5t.py_create(dtype, logical=True)


def read_attrs(owner: h5py.HLObject) -> dict[str, Any]:
    """All attributes as Python values; text written by others as variable-length strings is read too."""
    return {name: _plain(value) for name, value in _raw(owner)}


def read_attr(owner: h5py.HLObject, name: str, default: Any = None) -> Any:
    """One attribute as a Python value, or ``default``."""
    return _plain(_read(h5a.open(owner.id, name.encode()))) if has_attr(owner, name) else default


def has_attr(owner: h5py.HLObject, name: str) -> bool:
    return h5a.exists(owner.id, name.encode())


def _raw(owner: h5py.HLObject):
    for index in range(h5a.get_num_attrs(owner.id)):
        attribute = h5a.open(owner.id, index=index)
        yield attribute.name.decode("utf-8", "surrogateescape"), _read(attribute)


def _read(attribute: h5a.AttrID) -> np.ndarray:
    value = np.empty(attribute.shape, dtype=attribute.dtype)
    attribute.read(value)
    return value


def _plain(value: np.ndarray) -> Any:
    if value.shape:
        return value
    scalar = value.item()
    return scalar.decode("utf-8", "surrogateescape") if isinstance(scalar, bytes) else scalar
