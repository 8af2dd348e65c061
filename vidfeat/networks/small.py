"""A small convolutional network for small sets of videos, without pretrained weights."""

import torch
from torch import nn

from vidfeat.errors import UsageError
from vidfeat.features.backbones import InputSpec
from vidfeat.features.random_weights import random_state
from vidfeat.features.tracing import trace
from vidfeat.networks.backbone import FrameNetwork, wrap_network

_HALF = (0.5, 0.5, 0.5)
_DEVIATION = (0.25, 0.25, 0.25)


def small_network(
    dim: int = 128, *, channels: int = 3, seed: int = 0, size: int = 64, width: int = 16, dropout: float = 0.0
) -> FrameNetwork:
    """Four blocks of 3×3 convolution, ReLU and 2×2 maximum; average over the map; linear layer; ReLU.

    Args:
        dim: D, length of the frame vectors.
        channels: 3, or 2L for stacks of L flow fields.
        seed: of the values, which are drawn as ``--weights none`` draws them.
        size: side of the frames in pixels, at least 16.
        width: maps of the first block; each later one has twice as many as the one before.
        dropout: before the linear layer.
    """
    if min(dim, channels, width) < 1 or size < 16:
        raise UsageError(
            f"a small network with dim={dim}, channels={channels}, width={width}, size={size} is not possible: the "
            "first three are at least 1, the size at least 16 pixels."
        )
    blocks: list[nn.Module] = []
    before = channels
    for level in range(4):
        after = width * 2**level
        blocks += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        before = after
    features = nn.Sequential(*blocks)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(before, dim), nn.ReLU()]
    module = nn.Sequential(features, nn.Sequential(*head)).eval()
    with torch.no_grad():
        for name, values in random_state(trace(module), seed).items():
            module.get_parameter(name).copy_(values)
    spec = InputSpec(size, size, "bilinear", True, _HALF, _DEVIATION)
    identity = {"backbone": "small", "dim": dim, "width": width, "dropout": dropout, "weights": f"none:seed={seed}"}
    return wrap_network(module, spec, channels, identity)
