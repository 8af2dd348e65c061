"""Linear machines as LIBSVM model files: one machine, whose single support vector is its weight vector.

LIBSVM's own programs read such a file and predict the same decision values. Names and provenance do not fit into the
format; they belong into a file beside it.
"""

import numpy as np

from vidfeat.errors import UsageError

_HEADER = "svm_type c_svc\nkernel_type linear\nnr_class 2\ntotal_sv 1\n"


def linear_model_text(w: np.ndarray, b: float, labels: tuple[int, int] = (1, -1)) -> str:
    """Text of a LIBSVM model file with decision value w·x + b.

    Args:
        w: ``[D]`` weights; feature d of a LIBSVM data file (1-based index d + 1) is code dimension d.
        b: intercept (LIBSVM's rho is −b).
        labels: integers predicted for decision values > 0, and else.
    """
    w = np.asarray(w, dtype=np.float64)
    if w.ndim != 1 or not np.isfinite(w).all() or not np.isfinite(b):
        raise UsageError(f"A linear model is finite weights [D] and a finite intercept, not shape {w.shape} and {b}.")
    if len(labels) != 2 or any(int(label) != label for label in labels) or labels[0] == labels[1]:
        raise UsageError(f"labels={labels} are not allowed: LIBSVM knows two different integers.")
    # 17 digits give every float64 back exactly. Zeros may be left out.
    entries = " ".join(f"{d + 1}:{w[d]:.17g}" for d in np.nonzero(w)[0])
    return f"{_HEADER}rho {-float(b):.17g}\nlabel {labels[0]} {labels[1]}\nnr_sv 1 0\nSV\n1 {entries}\n"


def parse_linear_model(text: str, n_features: int) -> tuple[np.ndarray, float, tuple[int, int]]:
    """w ``[n_features]``, b and labels from the text of any two-class LIBSVM model with a linear kernel."""
    head, found, body = text.partition("\nSV\n")
    fields = dict(line.split(maxsplit=1) for line in head.splitlines() if " " in line)
    if not found or fields.get("kernel_type") != "linear" or fields.get("nr_class") != "2":
        raise UsageError(
            f"This is no two-class LIBSVM model with a linear kernel (kernel_type {fields.get('kernel_type')}, "
            f"nr_class {fields.get('nr_class')}). Train it with svm-train -t 0 on two classes."
        )
    w = np.zeros(n_features)
    try:
        b = -float(fields["rho"])
        first, second = map(int, fields["label"].split())
        for line in body.splitlines():
            coefficient, *entries = line.split()
            for entry in entries:
                d, value = entry.split(":")
                if not 1 <= int(d) <= n_features:
                    raise UsageError(f"The model has a feature {d}, but the codes have {n_features} dimensions.")
                w[int(d) - 1] += float(coefficient) * float(value)
    except (KeyError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"The LIBSVM model is damaged ({error}): write it again.") from error
    return w, b, (first, second)
