"""The smallest network of whole videos that has everything: convolutions, batch norm, dropout, several videos."""

import torch
from torch import nn

from vidfeat.features.backbones import InputSpec
from vidfeat.networks import Stream, VideoNetwork, make_pool, wrap_network
from vidfeat.networks.keyed import word_of
from vidfeat.training import VideoBatch

SIDE, DIM, CLASSES = 8, 6, 3
SPEC = InputSpec(SIDE, SIDE, "bilinear", True, (0.5,) * 3, (0.25,) * 3)

# Every pool, with options that keep it small.
POOLS = {
    "rankpool": {"C": 1.0},
    "rankpool-both": {"direction": "both", "map": "ssr", "normalize": False},
    "avg": {},
    "max": {},
    "pyramid": {"levels": 3, "width": 4},
    "pyramid-average": {"levels": 2, "merge": "average", "node": "max", "pyramids": 2, "width": 4},
    "pyramid-rank": {"levels": 2, "node": "rankpool", "width": 0, "norm": False},
    "frame": {},
    "frame-scores": {"consensus": "scores"},
    "spectrogram": {"size": 32},
}


def network(channels: int = 3, dropout: float = 0.4, seed: int = 0):
    """A CNN in float64 with statistics of batch norm that are not those of its start."""
    generator = torch.Generator().manual_seed(seed)
    norm = nn.BatchNorm2d(4)
    module = nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1), norm, nn.ReLU(), nn.Dropout2d(dropout / 2), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(20, DIM),
    ).double()  # fmt: skip
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.4)
        norm.running_mean.normal_(generator=generator)
        norm.running_var.uniform_(0.5, 2.0, generator=generator)
    return wrap_network(module, SPEC, channels)


def model(pool: str = "avg", loss: str = "ce", streams=("rgb",), dropout: float = 0.4, seed: int = 0) -> VideoNetwork:
    made = {}
    for number, name in enumerate(streams):
        layer = make_pool(pool.partition("-")[0], DIM, **POOLS[pool])
        stream = Stream(network(20 if name == "flow" else 3, dropout, seed + number), layer, CLASSES, dropout / 2)
        made[name] = stream
    whole = VideoNetwork(made, loss).double()
    with torch.no_grad():
        for stream in made.values():
            values = torch.randn(stream.classifier.weight.shape, generator=torch.Generator().manual_seed(seed))
            stream.classifier.weight.copy_(values)
    return whole


def batch(lengths=(5, 1, 9), streams=("rgb",), hinge: bool = False, first: int = 0) -> VideoBatch:
    """Videos of noise, one class each; a video's pixels and target depend on its number alone."""
    numbers = list(range(first, first + len(lengths)))
    clips = {}
    for name in streams:
        clips[name] = []
        for number, length in zip(numbers, lengths, strict=True):
            generator = torch.Generator().manual_seed(word_of(f"{name}{number}") % 2**31)
            shape = (length, 20 if name == "flow" else 3, SIDE, SIDE)
            clips[name].append(torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8))
    targets = torch.tensor([number % CLASSES for number in numbers], dtype=torch.int64)
    if hinge:
        targets = nn.functional.one_hot(targets, CLASSES)
        targets[:1, -1] = 1
    return VideoBatch([f"v{number}" for number in numbers], numbers, clips, targets)


def part(whole: VideoBatch, chosen: list[int]) -> VideoBatch:
    """Some videos of a batch."""
    clips = {name: [clips[i] for i in chosen] for name, clips in whole.clips.items()}
    return VideoBatch([whole.ids[i] for i in chosen], [whole.numbers[i] for i in chosen], clips, whole.targets[chosen])


def gradients(net: VideoNetwork) -> dict[str, torch.Tensor]:
    return {name: value.grad.clone() for name, value in net.named_parameters() if value.grad is not None}
