"""Pooling over time on torch tensors: moments, temporal pyramids, rank pooling, and what prepares frames for them.

Names load on first use, because torch takes seconds to import.
"""

from importlib import import_module

_HOME = {
    "average_pool": "moments",
    "max_pool": "moments",
    "running_mean": "smoothing",
    "l2_normalise": "normalise",
    "feature_map": "normalise",
    "node_bounds": "pyramid",
    "node_means": "pyramid",
    "pool_nodes": "pyramid",
    "approximate_weights": "approximate",
    "approximate_rank_pool": "approximate",
    "ApproximateRankPooling": "approximate",
    "rank_pool": "rank",
    "RankPool": "rank_layer",
    "RankPoolInfo": "rank",
    "rank_pool_windows": "rank_windows",
    "hierarchical_rank_pool": "hierarchical",
    "prepare_frames": "preparation",
    "ConvergenceWarning": "rank",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
