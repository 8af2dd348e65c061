"""VLFeat's VLAD and Fisher vectors through ctypes: Debian's libvlfeat1. A. Vedaldi, B. Fulkerson, *VLFeat*, 2008."""

import ctypes
import ctypes.util

import numpy as np

_FLOAT = 1  # VL_TYPE_FLOAT
_L2 = 1  # VlDistanceL2
NORMALIZE_COMPONENTS, SQUARE_ROOT, UNNORMALIZED = 1, 2, 4  # of vl_vlad_encode
FISHER_SQUARE_ROOT, FISHER_NORMALIZED, FISHER_FAST = 1, 2, 4


def library():
    """The library, or None if it is not installed."""
    name = ctypes.util.find_library("vl")
    if name is None:
        return None
    lib = ctypes.CDLL(name)
    lib.vl_kmeans_new.restype = ctypes.c_void_p
    lib.vl_fisher_encode.restype = ctypes.c_size_t
    return lib


def quantize(lib, x: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Nearest centre of every row of ``x [n, d]``, by exhaustive search."""
    x, centers = (np.ascontiguousarray(a, np.float32) for a in (x, centers))
    kmeans = ctypes.c_void_p(lib.vl_kmeans_new(_FLOAT, _L2))
    lib.vl_kmeans_set_centers(kmeans, _pointer(centers), *_sizes(centers.shape[1], len(centers)))
    words, distances = np.empty(len(x), np.uint32), np.empty(len(x), np.float32)
    lib.vl_kmeans_quantize(kmeans, _pointer(words), _pointer(distances), _pointer(x), *_sizes(len(x)))
    lib.vl_kmeans_delete(kmeans)
    return words


def vlad(lib, x: np.ndarray, centers: np.ndarray, flags: int, words: np.ndarray | None = None) -> np.ndarray:
    """The VLAD of ``x [n, d]`` with hard assignment, to ``words`` if they are known, ``[k·d]``."""
    x, centers = (np.ascontiguousarray(a, np.float32) for a in (x, centers))
    assigned = np.zeros((len(x), len(centers)), np.float32)
    assigned[np.arange(len(x)), quantize(lib, x, centers) if words is None else words] = 1
    code = np.empty(centers.size, np.float32)
    lib.vl_vlad_encode(
        _pointer(code), _FLOAT, _pointer(centers), *_sizes(centers.shape[1], len(centers)), _pointer(x),
        *_sizes(len(x)), _pointer(assigned), flags,
    )  # fmt: skip
    return code


def fisher(lib, x, weights, means, variances, flags: int) -> np.ndarray:
    """The Fisher vector of ``x [n, d]``, ``[2·K·d]``, all means before all deviations."""
    x, weights, means, variances = (np.ascontiguousarray(a, np.float32) for a in (x, weights, means, variances))
    code = np.empty(2 * means.size, np.float32)
    lib.vl_fisher_encode(
        _pointer(code), _FLOAT, _pointer(means), *_sizes(means.shape[1], len(means)), _pointer(variances),
        _pointer(weights), _pointer(x), *_sizes(len(x)), flags,
    )  # fmt: skip
    return code


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


def _sizes(*numbers: int) -> list[ctypes.c_size_t]:
    return [ctypes.c_size_t(number) for number in numbers]
