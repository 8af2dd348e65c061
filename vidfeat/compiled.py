"""Functions that Numba compiles for the CPU at hand. Import modules that use this only when their functions are needed:
Numba itself takes a while to import.

Machine code is kept in ``$NUMBA_CACHE_DIR`` if that is set, else beside the package, or in the user's cache folder
where an installation cannot be written to; where nothing can, every process compiles anew. A folder of its own for each
state of the sources of a package: Numba looks only at the file of a function, not at the files of those that it calls.
So compiled functions call only those of their own package.
"""

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def compiled(**options: Any) -> Callable[[Callable], Any]:
    """``@compiled(...)`` is ``numba.njit`` that runs without Python's lock and keeps its machine code on disk.

    ``options`` are those of ``numba.njit``.
    """

    def prepare(function: Callable) -> Any:
        folder = cache_folder(Path(function.__code__.co_filename).parent)
        if folder is None:
            return numba.njit(nogil=True, **options)(function)
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(folder)
        try:
            return numba.njit(cache=True, nogil=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = before

    return prepare


def has_machine_code(function: Any) -> bool:
    """Whether a compiled function was ever called, in this process or by another whose machine code is kept."""
    folder = cache_folder(Path(function.py_func.__code__.co_filename).parent)
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}-*.nbi"
    return bool(function.signatures) or (folder is not None and any(folder.rglob(name)))


@functools.cache
def cache_folder(package: Path) -> Path | None:
    """Where machine code of a package, as it is now, is kept and found again; None if no place can be written to."""
    user = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    given = numba.config.CACHE_DIR
    for place in [Path(given)] if given else [package / "__pycache__", Path(user) / "vidfeat"]:
        folder = place / f"compiled-{_state_of(package)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    return None


def _state_of(package: Path) -> str:
    state = hashlib.sha256(str(package).encode())
    for path in sorted(package.glob("*.py")):
        about = path.stat()
        state.update(f"{path.name} {about.st_size} {about.st_mtime_ns}\n".encode())
    return state.hexdigest()[:16]
