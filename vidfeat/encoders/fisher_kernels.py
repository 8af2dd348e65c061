"""The sums of Fisher vectors, compiled for a CPU: exact, and over the few Gaussians that a local feature belongs to."""

import numpy as np

from vidfeat.compiled import compiled

# Sums may be taken in any order; NaN and infinity stay what they are.
_SUMS = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}

# Posteriors below e^−18.4 = 1e-8 are left out.
_LEAST = 18.4


@compiled(**_SUMS)
def add_moments(rows, rough, margins, means, scales, constants, sums):
    """Add γ(x)·(x − μ)/σ, γ(x)·((x − μ)/σ)² and γ(x) of every local feature to ``sums [K, 2d + 1]``.

    Args:
        rows: x, float32 ``[n, d]``.
        rough: float32 ``[n, K]``, logarithms of π·N(x | μ, σ) but for what all Gaussians share, each wrong by at most
            ``margins [K]``: they decide which Gaussians are worth an exact look.
        means, scales, constants: float64 μ and 1/σ ``[K, d]``, and ln π − Σ ln σ ``[K]``.
    """
    K, d = means.shape
    found, logs = np.empty(K, np.int64), np.empty(K)
    for i in range(len(rows)):
        best = -np.inf
        for k in range(K):
            best = max(best, rough[i, k] - margins[k])
        count, highest = 0, -np.inf
        for k in range(K):
            if rough[i, k] + margins[k] >= best - _LEAST:
                total = 0.0
                for j in range(d):
                    apart = (rows[i, j] - means[k, j]) * scales[k, j]
                    total += apart * apart
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
                    apart = (rows[i, j] - means[k, j]) * scales[k, j]
                    out[j] += posterior * apart
                    out[d + j] += posterior * apart * apart
                out[2 * d] += posterior
