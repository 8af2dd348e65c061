"""The sums of Fisher vectors, compiled for a CPU: exact, and over the few Gaussians that a local feature belongs to."""

import numpy as np

from vidfeat.compiled import compiled

# Sums may be taken in any order; NaN and infinity stay what they are.
_SUMS = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}

# Of a float32 product of rows of some hundred numbers, as a share of the sum of its terms' sizes.
_ROUNDING = 2e-6
# Posteriors below e^−18.4 = 1e-8 are left out.
_LEAST = 18.4


@compiled(**_SUMS)
def prepare(rows, middle, sizes, constants, terms, margins):
    """Sets ``terms [n, 2d]`` to t = x − middle and t² for the ``rows [n, d]``, and ``margins [K]`` to a bound on the
    rounding of float32 products of these terms with K factors of ``sizes [K, 2d]``, plus ``constants [K]`` in size."""
    n, d = rows.shape
    most = np.zeros(d, np.float32)
    for i in range(n):
        for j in range(d):
            t = rows[i, j] - middle[j]
            terms[i, j], terms[i, d + j] = t, t * t
            most[j] = max(most[j], abs(t))
    for k in range(len(sizes)):
        total = constants[k]
        for j in range(d):
            total += sizes[k, j] * most[j] + sizes[k, d + j] * (np.float64(most[j]) * most[j])
        margins[k] = _ROUNDING * total


@compiled(**_SUMS)
def add_moments(rows, rough, margins, means, scales, constants, sums):
    """Add γ(x)·(x − μ)/σ, γ(x)·((x − μ)/σ)² and γ(x) of every local feature to ``sums [K, 2d + 1]``.

    Args:
        rows: x, float32 ``[n, d]``.
        rough: float32 ``[n, K]``, logarithms of π·N(x | μ, σ) but for what all Gaussians share, each wrong by at most
            ``margins [K]``, float32: they decide which Gaussians are worth an exact look.
        means, scales, constants: float64 μ and 1/σ ``[K, d]``, and ln π − Σ ln σ ``[K]``.
    """
    K, d = means.shape
    found, logs, apart = np.empty(K, np.int64), np.empty(K), np.empty(d)
    bounds = np.empty(K, np.float32)
    for i in range(len(rows)):
        best = _highest(rough[i], margins, bounds)
        count, highest = 0, -np.inf
        for k in range(K):
            if bounds[k] >= best:
                total = 0.0
                for j in range(d):
                    t = (rows[i, j] - means[k, j]) * scales[k, j]
                    total += t * t
                found[count], logs[count] = k, constants[k] - 0.5 * total
                highest = max(highest, logs[count])
                count += 1
        whole = 0.0
        for c in range(count):
            logs[c] = np.exp(logs[c] - highest)
            whole += logs[c]
        for c in range(count):
            posterior = logs[c] / whole
            if posterior > 1e-8:
                k = found[c]
                out = sums[k]
                for j in range(d):
                    apart[j] = (rows[i, j] - means[k, j]) * scales[k, j]
                for j in range(d):
                    out[j] += posterior * apart[j]
                for j in range(d):
                    out[d + j] += posterior * (apart[j] * apart[j])
                out[2 * d] += posterior


@compiled(fastmath=True, error_model="numpy")
def _highest(rough, margins, bounds):
    """Sets the upper bounds of the logarithms, and gives what those must reach to matter. Products are finite."""
    best = np.float32(-3e38)
    for k in range(len(rough)):
        best = max(best, rough[k] - margins[k])
        bounds[k] = rough[k] + margins[k]
    return best - np.float32(_LEAST)
