"""Codebooks: what is learned from the features of a training set before any item is encoded.

k-means vocabularies, Gaussian mixtures, principal components, and which rows of each item they learn from. Names load
on first use, because torch takes seconds to import. No module here bears the name of one of these functions: it would
take the function's place in this package once it is imported.
"""

from importlib import import_module

_HOME = {
    "kmeans": "lloyd",
    "nearest": "lloyd",
    "KMeans": "lloyd",
    "gmm": "mixture",
    "posteriors": "mixture",
    "GMM": "mixture",
    "pca": "components",
    "PCA": "components",
    "choose_rows": "sampling",
    "shares": "sampling",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
