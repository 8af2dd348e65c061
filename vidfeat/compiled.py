"""Functions that Numba compiles for the CPU at hand. Import modules that use this only when their functions are needed:
Numba itself takes a while to import.

Machine code is cached beside the source, or in the user's cache folder (``$NUMBA_CACHE_DIR`` overrides both) where an
installation cannot be written to. Where neither can, it is compiled anew in every process.
"""

from collections.abc import Callable
from typing import Any

import numba


def compiled(**options: Any) -> Callable[[Callable], Any]:
    """``@compiled(...)`` is ``numba.njit`` that runs without Python's lock and keeps its machine code on disk.

    ``options`` are those of ``numba.njit``.
    """

    def compile_lazily(function: Callable) -> Any:
        try:
            return numba.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError as error:  # Numba: "cannot cache function …: no locator available"
            if "cache" not in str(error):
                raise
            return numba.njit(nogil=True, **options)(function)

    return compile_lazily
