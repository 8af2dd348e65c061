"""Networks of whole videos: a convolutional network per frame, pooling over time, a classifier.

Names load on first use, because torch takes seconds to import.
"""

from importlib import import_module

_HOME = {
    "FrameNetwork": "backbone",
    "backbone_network": "backbone",
    "wrap_network": "backbone",
    "small_network": "small",
    "make_pool": "making",
    "POOLS": "making",
    "RankPooling": "pools",
    "AveragePooling": "pools",
    "MaxPooling": "pools",
    "FramePooling": "pools",
    "PyramidPooling": "pyramid",
    "SpectrogramPooling": "spectrogram",
    "VideoBatchNorm": "batch_norm",
    "Stream": "model",
    "VideoNetwork": "model",
    "LOSSES": "losses",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
