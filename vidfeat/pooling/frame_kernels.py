"""Products of float32 frames with float64 vectors, summed in float64, for a CPU; compiled.

Frames ``v [T, D]`` are read as they are: a float64 copy of them costs more than these products. Vectors of frames may
be longer than T: what weights hold there is ignored, fits are 0 there.
"""

import numpy as np

from vidfeat.compiled import compiled

# Sums may be taken in any order; NaN stays NaN.
_SUMS = {"fastmath": {"reassoc", "contract", "nsz"}}
# Features whose column of frames stays in the cache from the product with weights to the one with their sum.
_TILE = 1024


@compiled(**_SUMS)
def combine(v, weights, out):
    """out = Σ_t w_t v_t, ``[D]``."""
    for start in range(0, v.shape[1], _TILE):
        _combine(v, weights, out, start, min(start + _TILE, v.shape[1]))


@compiled(**_SUMS)
def predict(v, u, out):
    """out_t = v_t · u, ``[T]``."""
    out[:] = 0.0
    _predict(v, u, out, 0, v.shape[1])


@compiled(**_SUMS)
def combine_and_predict(v, weights, u, fit):
    """u = Σ_t w_t v_t ``[D]`` and fit_t = v_t · u ``[T]``."""
    fit[:] = 0.0
    for start in range(0, v.shape[1], _TILE):
        stop = min(start + _TILE, v.shape[1])
        _combine(v, weights, u, start, stop)
        _predict(v, u, fit, start, stop)


@compiled(**_SUMS)
def _combine(v, weights, out, start, stop):
    part = out[start:stop]
    part[:] = 0.0
    T = len(v)
    fours = T - T % 4
    for t in range(0, fours, 4):  # four frames to a pass, as the sum is read and written in each
        a, b, c, d = weights[t], weights[t + 1], weights[t + 2], weights[t + 3]
        va, vb, vc, vd = v[t, start:stop], v[t + 1, start:stop], v[t + 2, start:stop], v[t + 3, start:stop]
        for i in range(len(part)):
            part[i] += a * np.float64(va[i]) + b * np.float64(vb[i]) + c * np.float64(vc[i]) + d * np.float64(vd[i])
    for t in range(fours, T):
        row = v[t, start:stop]
        for i in range(len(part)):
            part[i] += weights[t] * np.float64(row[i])


@compiled(**_SUMS)
def _predict(v, u, out, start, stop):
    part = u[start:stop]
    for t in range(len(v)):
        row = v[t, start:stop]
        total = 0.0
        for i in range(len(part)):
            total += np.float64(row[i]) * part[i]
        out[t] += total
