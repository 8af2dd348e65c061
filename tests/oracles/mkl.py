"""Multiple-kernel learning by general solvers: explicit Gram matrices, the dual SVM as a quadratic programme."""

import numpy as np
from scipy.optimize import minimize


def blocks(nodes, kernel=lambda x, y: x @ y, centre=False):
    """κ_nm [N, N, n, n] of nodes [n, N, D], divided by √(tr κ_nn tr κ_mm) / n; and the traces per item."""
    n, N, _ = nodes.shape
    nodes = nodes.astype(np.float64)
    kappa = np.array(
        [[[[kernel(nodes[i, a], nodes[j, b]) for j in range(n)] for i in range(n)] for b in range(N)] for a in range(N)]
    )
    H = np.eye(n) - 1 / n
    traces = np.array([np.trace(H @ kappa[a, a] @ H if centre else kappa[a, a]) / n for a in range(N)])
    return kappa / np.sqrt(np.outer(traces, traces))[:, :, None, None], traces


def combined(kappa, beta, combination):
    """K of weights β."""
    if combination == "concatenation":
        return sum(beta[a] * kappa[a, a] for a in range(len(beta)))
    return sum(beta[a] * beta[b] * kappa[a, b] for a in range(len(beta)) for b in range(len(beta)))


def svm(K, sign, C):
    """Value and a = Yα of the SVM with bias, by sequential quadratic programming on its dual."""
    Q = K * np.outer(sign, sign)
    found = minimize(
        lambda alpha: 0.5 * alpha @ Q @ alpha - alpha.sum(),
        np.full(len(K), 1e-3),
        jac=lambda alpha: Q @ alpha - 1,
        bounds=[(0, C)] * len(K),
        constraints={"type": "eq", "fun": lambda alpha: sign @ alpha, "jac": lambda alpha: sign},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    return -found.fun, found.x * sign


def weights(kappa, signs, C):
    """β of min J(β) for concatenation, by sequential quadratic programming over the simplex; and J."""
    N = len(kappa)

    def objective(beta):
        value, gradient = 0.0, np.zeros(N)
        for sign in signs:
            J, a = svm(combined(kappa, np.maximum(beta, 0), "concatenation"), sign, C)
            value += J
            gradient -= [0.5 * a @ kappa[n, n] @ a for n in range(N)]
        return value, gradient

    found = minimize(
        objective,
        np.full(N, 1 / N),
        jac=True,
        bounds=[(0, 1)] * N,
        constraints={"type": "eq", "fun": lambda beta: beta.sum() - 1, "jac": np.ones_like},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 200},
    )
    return found.x, found.fun


def decisions(K_train, K_test, sign, C):
    """Decision values of an SVM from explicit kernels; the bias from items whose α is between the bounds."""
    _, a = svm(K_train, sign, C)
    free = (np.abs(a) > 1e-3 * C) & (np.abs(a) < (1 - 1e-3) * C)
    return K_test @ a + np.mean(sign[free] - (K_train @ a)[free])
