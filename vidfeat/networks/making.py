"""Pooling layers by name."""

from vidfeat.errors import UsageError
from vidfeat.networks.pools import AveragePooling, FramePooling, MaxPooling, Pooling, RankPooling
from vidfeat.networks.pyramid import PyramidPooling
from vidfeat.networks.spectrogram import SpectrogramPooling

POOLS: dict[str, type[Pooling]] = {
    "rankpool": RankPooling,
    "avg": AveragePooling,
    "max": MaxPooling,
    "pyramid": PyramidPooling,
    "frame": FramePooling,
    "spectrogram": SpectrogramPooling,
}


def make_pool(name: str, features: int, **options) -> Pooling:
    """The pooling layer of that name for frame vectors of ``features`` numbers, with the options of its class.

    Raises:
        UsageError: an unknown name, or values that its class refuses.
    """
    if name not in POOLS:
        raise UsageError(f"unknown pooling {name!r}; allowed are {', '.join(POOLS)}.")
    return POOLS[name](features, **options)
