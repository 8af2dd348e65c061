"""Flow for networks that were trained on RGB: flow images of three channels, and first layers for stacks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.flow.checks import whole

if TYPE_CHECKING:
    import torch

ZERO = (0.5, 0.5, 0.5)  # 127.5/255: zero flow


def flow_image(levels: np.ndarray, mean: Sequence[float] = ZERO, std: Sequence[float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """Network input of a quantised field: x and y as two colours, and a third that is zero after mean subtraction.

        out₀ = (x/255 − mean₀)/std₀,   out₁ = (y/255 − mean₁)/std₁,   out₂ = 0

    so that nothing of the third channel's weights comes through.

    Args:
        levels: ``[…, 2, H, W]`` uint8, quantised flow.
        mean, std: of the three channels, for values in 0…1, as the network expects them.

    Returns:
        ``[…, 3, H, W]`` float32.

    Source: J. Y.-H. Ng et al., *Beyond Short Snippets: Deep Networks for Video Classification*, 2015 (flow images).
    """
    _check_levels(levels)
    _check_three("mean", mean)
    _check_three("std", std)
    image = np.zeros((*levels.shape[:-3], 3, *levels.shape[-2:]), np.float32)
    for channel in range(2):
        scale, shift = 1.0 / (255.0 * std[channel]), mean[channel] / std[channel]
        np.multiply(levels[..., channel, :, :], np.float32(scale), out=image[..., channel, :, :], dtype=np.float32)
        image[..., channel, :, :] -= np.float32(shift)
    return image


def flow_pixels(levels: np.ndarray, mean: Sequence[float] = ZERO) -> np.ndarray:
    """The same as pixels, for what normalises them itself: ``[…, 2, H, W]`` uint8 -> ``[…, H, W, 3]`` uint8.

    The third channel is the level nearest to its mean; what subtraction leaves is at most half a level, 1/510.
    """
    _check_levels(levels)
    _check_three("mean", mean)
    pixels = np.empty((*levels.shape[:-3], *levels.shape[-2:], 3), np.uint8)
    pixels[..., :2] = np.moveaxis(levels, -3, -1)
    pixels[..., 2] = int(np.clip(np.floor(255 * mean[2] + 0.5), 0, 255))
    return pixels


def inflate_conv1(weight: "torch.Tensor", channels: int = 20, scale: float = 1.0) -> "torch.Tensor":
    """First-layer weights of an RGB network for input of another depth: their mean over R, G, B for every channel.

        out[o, c] = scale · (w[o, R] + w[o, G] + w[o, B]) / 3

    Args:
        weight: ``[O, 3, k, k]``.
        channels: of the new input; 20 for stacks of ten fields.
        scale: 1 keeps the size of the weights, as the source does: their sum over channels grows by channels/3.
            3/channels keeps the response to an input that is the same in all channels.

    Returns:
        ``[O, channels, k, k]``, of the type of ``weight``.

    Source: L. Wang et al., *Temporal Segment Networks*, 2016 (cross-modality initialisation).
    """
    if weight.ndim != 4 or weight.shape[1] != 3:
        raise UsageError(
            f"the weight has shape {list(weight.shape)}; a first layer of an RGB network has [O, 3, k, k]. Give the "
            "weight of the layer that takes the picture."
        )
    whole("channels", channels, 1, " (20 for stacks of ten fields)")
    return (weight.mean(1, keepdim=True) * scale).repeat(1, channels, 1, 1)


def _check_levels(levels: np.ndarray) -> None:
    if levels.dtype != np.uint8 or levels.ndim < 3 or levels.shape[-3] != 2:
        raise UsageError(
            f"the flow is {levels.dtype} {list(levels.shape)}; a flow image is made of quantised fields, uint8 "
            "[…, 2, H, W]. Call quantise first."
        )


def _check_three(name: str, values: Sequence[float]) -> None:
    if len(values) != 3:
        raise UsageError(f"{name} has {len(values)} values; a flow image has 3 channels.")
