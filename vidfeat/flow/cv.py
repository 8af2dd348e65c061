"""OpenCV as the flow methods use it: its number of threads, and the part of it that not every build has."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import cv2

from vidfeat.errors import UsageError

_PACKAGE = "opencv-contrib-python-headless"


class _Threads:
    """Callers at this moment, and the number that held before the first of them."""

    lock = threading.Lock()
    users = 0
    before = 0


@contextmanager
def cv_threads(threads: int | None) -> Iterator[None]:
    """OpenCV computes with that many threads inside; None leaves its own number, which is put back in any case.

    The number belongs to the whole process. Of several callers at a time the last to come sets it for all, and the
    last to leave puts back what was there before the first.
    """
    if threads is None:
        yield
        return
    with _Threads.lock:
        if _Threads.users == 0:
            _Threads.before = cv2.getNumThreads()
        _Threads.users += 1
        cv2.setNumThreads(threads)
    try:
        yield
    finally:
        with _Threads.lock:
            _Threads.users -= 1
            if _Threads.users == 0:
                cv2.setNumThreads(_Threads.before)


def optflow() -> ModuleType:
    """``cv2.optflow``; UsageError where the plain OpenCV package is installed, or has overwritten the other."""
    module = getattr(cv2, "optflow", None)
    if module is None or not hasattr(module, "DualTVL1OpticalFlow_create"):
        raise UsageError(
            f"OpenCV {cv2.__version__} here has no cv2.optflow, the contributed module with TV-L1: a package without "
            "it (opencv-python, opencv-python-headless) is installed, or was installed over the other. Repair: "
            f"pip uninstall opencv-python opencv-python-headless opencv-contrib-python; pip install --force-reinstall "
            f"{_PACKAGE}. Or use another backend."
        )
    return module
