"""Encoders: scikit-learn transformers from lists of per-frame features to fixed-length codes.

Names load on first use, because torch and scikit-learn take seconds to import.
"""

from importlib import import_module

_HOME = {
    "AveragePool": "moments",
    "MaxPool": "moments",
    "RankPool": "rank",
    "ApproximateRankPool": "approximate",
    "HierarchicalRankPool": "hierarchical",
    "TemporalPyramid": "pyramid",
    "TemporalEncoder": "base",
    "LocalEncoder": "local",
    "VLAD": "vlad",
    "FisherVector": "fisher",
    "BagOfWords": "bow",
    "PCAWhitening": "pca",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
