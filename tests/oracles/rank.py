"""Rank pooling from its definition, with plain loops over frames."""

import numpy as np


def objective(u, v, C, epsilon):
    loss = sum(max(abs(t - u @ frame) - epsilon, 0.0) ** 2 for t, frame in enumerate(v, start=1))
    return 0.5 * u @ u + 0.5 * C * loss


def gradient(u, v, C, epsilon):
    """∇f(u); zero at the optimum and nowhere else, because f is strictly convex and differentiable."""
    result = u.copy()
    for t, frame in enumerate(v, start=1):
        residual = t - u @ frame
        if abs(residual) > epsilon:
            result -= C * (residual - epsilon * np.sign(residual)) * frame
    return result


def newton_decrement(u, v, C, epsilon):
    """½ ∇fᵀ H⁻¹ ∇f, by how much f falls within the quadratic piece at u: 0 at the optimum and nowhere else."""
    slope = gradient(u, v, C, epsilon)
    outside = [frame for t, frame in enumerate(v, start=1) if abs(t - u @ frame) > epsilon]
    hessian = np.eye(len(u)) + C * sum((np.outer(frame, frame) for frame in outside), np.zeros((len(u), len(u))))
    return 0.5 * slope @ np.linalg.solve(hessian, slope)


def vjp(u, v, g, C, epsilon, diagonal=False):
    """∂(g·u)/∂v at the optimum u, from the whole Hessian: (∂u/∂v_t) by the implicit function theorem."""
    outside = [abs(t - u @ frame) > epsilon for t, frame in enumerate(v, start=1)]
    hessian = np.eye(len(u)) + C * sum(
        (np.outer(frame, frame) for frame, out in zip(v, outside, strict=True) if out), np.zeros((len(u), len(u)))
    )
    w = g / np.diag(hessian) if diagonal else np.linalg.solve(hessian, g)
    result = np.zeros_like(v)
    for t, (frame, out) in enumerate(zip(v, outside, strict=True), start=1):
        if out:
            residual = t - u @ frame
            result[t - 1] = C * ((residual - epsilon * np.sign(residual)) * w - (frame @ w) * u)
    return result


def prepared(x, kind="none"):
    """Time-varying mean, map, L2, frame by frame."""
    frames = []
    for t in range(1, len(x) + 1):
        m = sum(x[:t].astype(np.float64)) / t
        if kind == "ssr":
            m = np.sign(m) * np.sqrt(np.abs(m))
        if kind == "posneg":
            m = np.concatenate([np.sqrt(np.maximum(m, 0)), np.sqrt(np.maximum(-m, 0))])
        frames.append(m / np.linalg.norm(m) if np.any(m) else m)
    return np.array(frames)
