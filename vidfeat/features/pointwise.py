"""Convolutions and linear layers with a folded norm, and with oneDNN's fused sum and activation function.

torch exposes oneDNN's fused kernels as ``torch.ops.mkldnn`` (its own compiler emits them). They save a pass over memory
for every norm, sum and ReLU, and keep weights in the layout the processor wants.
"""

from dataclasses import dataclass

import torch
from torch import nn

# Activation function -> oneDNN's name and its constants.
FUSED_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.Hardswish: ("hardswish", []),
    nn.SiLU: ("swish", []),
}

_OPERATIONS = ("_convolution_pointwise", "_linear_pointwise", "_reorder_convolution_weight", "_reorder_linear_weight")


def fused_kernels(precision: torch.dtype) -> bool:
    """Whether this build of torch and this processor have oneDNN's fused kernels for a type."""
    if not torch.backends.mkldnn.is_available() or not all(hasattr(torch.ops.mkldnn, name) for name in _OPERATIONS):
        return False
    if precision == torch.bfloat16:
        supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
        return supported is not None and supported()
    return precision == torch.float32


@dataclass(frozen=True)
class Folded:
    """Weight and bias of a convolution or linear layer, its batch norm folded in."""

    weight: torch.Tensor
    bias: torch.Tensor | None


def fold(layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm2d | None) -> Folded:
    """BN(w∗x + b) = (γ/√(σ²+ε))·w ∗ x + (b − μ)·γ/√(σ²+ε) + β, with the factors computed in float64."""
    if norm is None:
        return Folded(layer.weight.detach(), None if layer.bias is None else layer.bias.detach())
    factor = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        factor = factor * norm.weight.detach().double()
    offset = -norm.running_mean.double() * factor
    if layer.bias is not None:
        offset = offset + layer.bias.detach().double() * factor
    if norm.bias is not None:
        offset = offset + norm.bias.detach().double()
    weight = layer.weight.detach() * factor.to(layer.weight.dtype).view(-1, 1, 1, 1)
    return Folded(weight, offset.to(layer.weight.dtype))


def pack(layer: nn.Conv2d | nn.Linear, folded: Folded, precision: torch.dtype) -> Folded:
    """The values in the layout that oneDNN wants on this processor; no other operation can read it."""
    if isinstance(layer, nn.Linear):
        weight = torch.ops.mkldnn._reorder_linear_weight(folded.weight.to(precision).contiguous())
    else:
        weight = folded.weight.to(precision).contiguous(memory_format=torch.channels_last)
        weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *_geometry(layer))
    return Folded(weight, None if folded.bias is None else folded.bias.to(precision, copy=True))


def _geometry(conv: nn.Conv2d) -> tuple[list[int], list[int], list[int], int]:
    return list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups


class PointwiseConv(nn.Module):
    """activation(conv(x) [+ other]) in one kernel of oneDNN."""

    def __init__(self, conv: nn.Conv2d, packed: Folded, activation: type[nn.Module] | None):
        super().__init__()
        self.folded = packed
        self.geometry = _geometry(conv)
        self.attribute, self.constants = ("none", []) if activation is None else FUSED_ACTIVATIONS[activation]

    def forward(self, x: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        weight, bias = self.folded.weight, self.folded.bias
        if other is None:
            return torch.ops.mkldnn._convolution_pointwise(
                x, weight, bias, *self.geometry, self.attribute, self.constants, ""
            )
        unary = None if self.attribute == "none" else self.attribute
        return torch.ops.mkldnn._convolution_pointwise.binary(
            x, other, weight, bias, *self.geometry, "add", 1.0, unary, self.constants, ""
        )


class PointwiseLinear(nn.Module):
    """activation(x Wᵀ + b) in one kernel of oneDNN."""

    def __init__(self, packed: Folded, activation: type[nn.Module] | None):
        super().__init__()
        self.folded = packed
        self.attribute, self.constants = ("none", []) if activation is None else FUSED_ACTIVATIONS[activation]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(
            x, self.folded.weight, self.folded.bias, self.attribute, self.constants, ""
        )


def plain_conv(conv: nn.Conv2d, folded: Folded) -> nn.Conv2d:
    """An ordinary convolution with the folded values, where oneDNN's kernels do not exist."""
    made = nn.Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups,
        bias=folded.bias is not None, device="meta",
    )  # fmt: skip
    made.weight = nn.Parameter(folded.weight, requires_grad=False)
    if folded.bias is not None:
        made.bias = nn.Parameter(folded.bias, requires_grad=False)
    return made
