"""Middlebury's ``.flo`` files: a field of flow in float32, little-endian.

Bytes 0–3 the number 202021.25 (which reads "PIEH"), 4–7 the width, 8–11 the height as signed 32-bit integers, then rows
from top to bottom of pixels from left to right, x before y. Vectors that are not known have components above 1e9.

Source: S. Baker, D. Scharstein, J. P. Lewis, S. Roth, M. J. Black, R. Szeliski, *A Database and Evaluation Methodology
for Optical Flow*, 2011 (format of the data set).
"""

import os
import struct
from pathlib import Path

import numpy as np

from vidfeat.errors import UsageError

MAGIC = struct.pack("<f", 202021.25)
MOST = 99_999  # pixels of width or height; the data set's own reader refuses more
_HEADER = struct.Struct("<4sii")


def read_flo(path: str | os.PathLike) -> np.ndarray:
    """The field of a file, ``[2, H, W]`` float32 pixels; unknown vectors stay as they are (``metrics.known_flow``).

    Raises:
        UsageError: no such file, another format, an impossible size, or a length that is not exactly what the size
            asks for.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            header = stream.read(_HEADER.size)
            width, height = _size(path, header)
            # The length is compared before anything of the size that the header claims is allocated.
            expected, found = 8 * width * height, os.fstat(stream.fileno()).st_size - _HEADER.size
            if found != expected:
                what = "is cut off" if found < expected else "has bytes behind its end"
                raise UsageError(
                    f"{str(path)!r} {what}: {width}x{height} pixels take {_HEADER.size + expected} bytes, the file has "
                    f"{_HEADER.size + found}. Fetch it again."
                )
            pixels = np.frombuffer(stream.read(expected), "<f4")
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}. Give the path of a .flo file.") from error
    if pixels.size != 2 * width * height:
        raise UsageError(f"{str(path)!r} became shorter while it was read. Fetch it again.")
    return np.array(pixels.reshape(height, width, 2).transpose(2, 0, 1), np.float32, order="C")


def flo_bytes(flow: np.ndarray) -> bytes:
    """The bytes of a ``.flo`` file with the field ``[2, H, W]``, floating point, as float32.

    Raises:
        UsageError: another shape or type, or more than 99999 pixels in width or height.
    """
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[0] != 2 or flow.dtype.kind != "f":
        raise UsageError(
            f"the flow is {flow.dtype} {list(flow.shape)}; a .flo file holds one field [2, H, W], floating point, in "
            "pixels. Quantised flow has to be dequantised first."
        )
    _, height, width = flow.shape
    if not (1 <= width <= MOST and 1 <= height <= MOST):
        raise UsageError(f"the flow has {width}x{height} pixels; a .flo file holds 1 to {MOST} in each direction.")
    return _HEADER.pack(MAGIC, width, height) + flow.transpose(1, 2, 0).astype("<f4").tobytes()


def _size(path: Path, header: bytes) -> tuple[int, int]:
    """(width, height); UsageError if they are not to be believed."""
    if len(header) < _HEADER.size:
        raise UsageError(
            f"{str(path)!r} has {len(header)} bytes; the header of a .flo file alone has {_HEADER.size}. "
            "Fetch it again."
        )
    magic, width, height = _HEADER.unpack(header)
    if magic != MAGIC:
        swapped = ", which is that of a big-endian machine" if magic == MAGIC[::-1] else ""
        raise UsageError(
            f"{str(path)!r} is no .flo file: it begins with {magic!r}{swapped}, not with {MAGIC!r} (202021.25)."
        )
    if not (1 <= width <= MOST and 1 <= height <= MOST):
        raise UsageError(
            f"{str(path)!r} claims {width}x{height} pixels; 1 to {MOST} in each direction are possible. It is damaged."
        )
    return width, height
