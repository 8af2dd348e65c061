"""Batch norm over the videos of a step, all processes together."""

import torch
from torch import Tensor, distributed, nn


class VideoBatchNorm(nn.Module):
    """y = γ (x − μ)/√(σ² + ε) + β with the mean and variance of the step's videos in training.

    Statistics run over all processes, so that how videos are shared among them changes nothing. With one number per
    feature only (one video and no map) those of the step would be useless: the running ones serve, and stay.

    Args:
        dim: features; x is ``[B, dim]`` or maps ``[B, dim, h, w]``.
        eps, momentum: as torch's.

    Source: S. Ioffe, C. Szegedy, *Batch Normalization: Accelerating Deep Network Training*, 2015.
    """

    def __init__(self, dim: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean, variance = self.running_mean, self.running_var
        if self.training:
            count = x.new_tensor([float(x.numel() // max(x.shape[1], 1))])
            total = _over_all(torch.cat([x.sum(axes), count]))
            n = float(total[-1].detach())
            if n > 1:
                mean = total[:-1] / n
                # Deviations from the common mean, not a difference of squares, which would lose digits.
                variance = _over_all((x - mean.view(shape)).square().sum(axes)) / n
                self._remember(mean.detach(), variance.detach() * (n / (n - 1)))
        factor = self.weight / torch.sqrt(variance + self.eps)
        return (x - mean.view(shape)) * factor.view(shape) + self.bias.view(shape)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)


def _over_all(x: Tensor) -> Tensor:
    """Σ over processes; x itself if there is one."""
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        return _Sum.apply(x)
    return x


class _Sum(torch.autograd.Function):
    """The loss is a sum over processes too, so the gradient at a summand is the sum of the gradients at the sum."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        result = x.detach().clone()
        distributed.all_reduce(result)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g: Tensor) -> Tensor:
        result = g.detach().clone()
        distributed.all_reduce(result)
        return result
