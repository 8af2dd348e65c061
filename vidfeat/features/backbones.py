"""The classification networks of torchvision: their names, their architecture without values, their preprocessing."""

import difflib
from dataclasses import dataclass

import torch
import torchvision
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from vidfeat.errors import UsageError

# Constructor arguments that differ from torchvision's defaults. The auxiliary classifiers only serve training.
_OPTIONS = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}

# torchvision's ``transform_input=True`` maps its usual normalisation back to (p − 0.5)/0.5, because these weights were
# converted from TensorFlow. The same map is made here in one step, by mean and deviation.
_HALF = (0.5, 0.5, 0.5)
_REMAPPED = ("googlenet", "inception_v3")


@dataclass(frozen=True)
class InputSpec:
    """Preprocessing that a set of weights expects.

    Attributes:
        shorter_side: length in pixels to which the shorter side is resized.
        size: side in pixels of the square centre crop.
        interpolation: ``bilinear`` or ``bicubic``.
        antialias: whether shrinking filters.
        mean: per channel, of values in [0, 1]; x = (p/255 − mean)/std. The extractor applies it itself.
        std: per channel.
    """

    shorter_side: int
    size: int
    interpolation: str
    antialias: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def resized(self, size: int | None) -> "InputSpec":
        """The same preprocessing for another crop, with the shorter side in proportion."""
        if size is None or size == self.size:
            return self
        if size < 1:
            raise UsageError(f"the input size is {size}; it must be at least 1 pixel.")
        side = round(self.shorter_side * size / self.size)
        return InputSpec(side, size, self.interpolation, self.antialias, self.mean, self.std)


def list_backbones() -> list[str]:
    """Names of torchvision's classification networks (quantised copies, detectors and the like excluded)."""
    return torchvision.models.list_models(module=torchvision.models)


def check_backbone(name: str) -> str:
    """Return ``name`` if there is such a network; raise UsageError with close matches otherwise."""
    known = list_backbones()
    if name in known:
        return name
    close = difflib.get_close_matches(name.lower(), known, n=4, cutoff=0.5)
    hint = f" Close: {', '.join(close)}." if close else ""
    raise UsageError(
        f"unknown backbone {name!r}; allowed are torchvision's classification networks, "
        f"such as alexnet, vgg16, googlenet, resnet50.{hint} 'vidfeat layers' lists all {len(known)}."
    )


def build(name: str) -> nn.Module:
    """The network in eval mode, with its buffers real and its parameters on the meta device (shapes without values).

    torchvision's own initialisation would cost seconds and differs between processors; values come from
    :mod:`vidfeat.features.weights`. No module works in place: an in-place ReLU would change what ``:pre`` returns.

    Raises:
        UsageError: no such network.
    """
    check_backbone(name)
    hook = register_module_parameter_registration_hook(_without_values)
    try:
        model = torchvision.models.get_model(name, weights=None, **_OPTIONS.get(name, {}))
    finally:
        hook.remove()
    for module in model.modules():
        if getattr(module, "inplace", False):
            module.inplace = False
    return model.eval().requires_grad_(False)


def input_spec(name: str, weights: torchvision.models.WeightsEnum | None = None) -> InputSpec:
    """Preprocessing of the given weights, by default of torchvision's best (``DEFAULT``) ones for the network."""
    if weights is None:
        weights = torchvision.models.get_model_weights(name).DEFAULT
    preset = weights.transforms()
    mean, std = (_HALF, _HALF) if name in _REMAPPED else (tuple(preset.mean), tuple(preset.std))
    return InputSpec(
        shorter_side=preset.resize_size[0],
        size=preset.crop_size[0],
        interpolation=preset.interpolation.value,
        antialias=bool(preset.antialias),
        mean=mean,
        std=std,
    )


def _without_values(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
    if parameter is None:
        return None
    return nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
