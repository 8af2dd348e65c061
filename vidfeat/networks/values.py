"""Seeded values of layers that have none of a file, the same on every machine."""

import math

import torch
from torch import nn

from vidfeat.weights.draws import fill_uniform


def drawn_linear(inputs: int, outputs: int, name: str, seed: int, gain: float = 1.0) -> nn.Linear:
    """w = u √(3 gain/inputs), u uniform on (−1, 1) drawn from the name and the seed; biases 0."""
    layer = nn.Linear(inputs, outputs)
    values = torch.empty(outputs * inputs)
    fill_uniform(values.numpy(), name, seed, math.sqrt(3.0 * gain / inputs))
    with torch.no_grad():
        layer.weight.copy_(values.view(outputs, inputs))
        layer.bias.zero_()
    return layer
