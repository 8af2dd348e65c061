"""Messages between a process and its decoder child, over a pair of pipes.

A message is a kind byte and a length, then that many bytes: a pickled object, or for a frame its index, time and size
followed by the raw pixels, which are read straight into the array that is handed on.
"""

import os
import pickle
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

_HEAD = struct.Struct("<cQ")
_FRAME = struct.Struct("<qdII")
OBJECT, FRAME = b"o", b"f"


def send_object(fd: int, value: Any) -> None:
    data = pickle.dumps(value)
    _write(fd, _HEAD.pack(OBJECT, len(data)) + data)


def send_frame(fd: int, index: int, time: float, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    _write(fd, _HEAD.pack(FRAME, image.nbytes) + _FRAME.pack(index, time, height, width))
    _write(fd, memoryview(np.ascontiguousarray(image)).cast("B"))


def receive(fd: int, wait: Callable[[], None] = lambda: None) -> Any:
    """The next message: an object, or (index, time, image). ``EOFError`` when the other side has gone.

    ``wait`` is called before each read; it may raise.
    """
    kind, size = _HEAD.unpack(_read(fd, bytearray(_HEAD.size), wait))
    if kind == OBJECT:
        return pickle.loads(_read(fd, bytearray(size), wait))
    index, time, height, width = _FRAME.unpack(_read(fd, bytearray(_FRAME.size), wait))
    image = np.empty((height, width, 3), np.uint8)
    _read(fd, memoryview(image).cast("B"), wait)
    return index, time, image


def _write(fd: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read(fd: int, buffer: bytearray | memoryview, wait: Callable[[], None]) -> bytearray | memoryview:
    view = memoryview(buffer)
    while view:
        wait()
        count = os.readv(fd, [view])
        if not count:
            raise EOFError("the other side closed the pipe")
        view = view[count:]
    return buffer
