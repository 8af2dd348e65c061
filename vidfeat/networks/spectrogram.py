"""A video's frame vectors as a picture, seen by a residual network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidfeat.errors import UsageError
from vidfeat.features.backbones import build
from vidfeat.features.random_weights import random_state
from vidfeat.features.tracing import needed_names, trace
from vidfeat.features.weights import load_weights
from vidfeat.networks.batch_norm import VideoBatchNorm
from vidfeat.networks.pools import Pooling, videos_of
from vidfeat.weights.sources import find_weights

_DIM = 512


class SpectrogramPooling(Pooling):
    """The T × D picture of all frame vectors, resized to size × size, through a ResNet-18 up to its average pool.

    One channel: the first layer's weights are the sum of those of R, G and B, what a grey picture in all three gives.
    Batch norms are over the videos of a step.

    Args:
        features: D.
        size: side of the picture, at least 32.
        weights, seed: of the ResNet-18, as for ``extract``; ``none`` draws values.

    Source: *Deep multiple aggregation networks for action recognition* (the spectrogram baseline).
    """

    def __init__(self, features: int, size: int = 224, weights: str = "none", seed: int = 0):
        super().__init__(features, _DIM)
        if size < 32:
            raise UsageError(f"size={size} is too small: the picture of a spectrogram has a side of at least 32.")
        self.size = size
        self.network = _resnet(weights, seed)

    def reduce(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """Pictures ``[B, 1, size, size]``."""
        videos = videos_of(x, lengths)
        side = (self.size, self.size)
        pictures = [functional.interpolate(video[None, None], side, mode="bilinear", antialias=_shrinks(video, side))
                    for video in videos]  # fmt: skip
        empty = x.new_zeros(0, 1, *side) + x.sum()
        return torch.cat(pictures) if pictures else empty

    def finish(self, reduced: Tensor) -> Tensor:
        return self.network(reduced)


def _shrinks(video: Tensor, side: tuple[int, int]) -> bool:
    """Whether resizing leaves frames or features out, which a filter must then mix in."""
    return video.shape[0] > side[0] or video.shape[1] > side[1]


def _resnet(weights: str, seed: int) -> nn.Module:
    model = build("resnet18")
    traced = trace(model)
    source = find_weights("resnet18", weights, seed)
    if source.path is None:
        model.load_state_dict(random_state(traced, seed), strict=False, assign=True)
    else:
        outputs = [node for node in traced.graph.nodes if node.op != "output"]
        load_weights(traced, source, needed_names(outputs))
    first = model.conv1
    model.conv1 = nn.Conv2d(1, first.out_channels, first.kernel_size, first.stride, first.padding, bias=False)
    model.conv1.weight = nn.Parameter(first.weight.detach().sum(1, keepdim=True))
    model.fc = nn.Identity()
    _exchange_norms(model)
    for value in model.parameters():
        value.data = value.data.clone()
    return model.requires_grad_(True)


def _exchange_norms(model: nn.Module) -> None:
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            norm = VideoBatchNorm(module.num_features, module.eps, module.momentum)
            norm.load_state_dict({name: value.clone() for name, value in module.state_dict().items()
                                  if name != "num_batches_tracked"})  # fmt: skip
            model.set_submodule(path, norm)
