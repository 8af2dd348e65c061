"""Layers of torchvision's own networks, taken by forward hooks: slow, unfused, in torchvision's memory format."""

import numpy as np
import torch
import torchvision


def network(name: str, seed: int = 0) -> torch.nn.Module:
    """A torchvision network in eval mode with torch's own initialisation and batch norms that are no identities."""
    options = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if name.startswith("vgg"):
        options = {"init_weights": False}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = torchvision.models.get_model(name, weights=None, **options).eval().requires_grad_(False)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
            elif isinstance(module, torch.nn.Conv2d):
                # Spread of one channel's outputs of about 1, so that no layer is lost in rounding.
                torch.nn.init.kaiming_normal_(module.weight)
    return model


def normalised(pixels: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    return torchvision.transforms.functional.normalize(pixels.float() / 255, list(mean), list(std))


def activations(model: torch.nn.Module, x: torch.Tensor, paths: list[str]) -> dict[str, np.ndarray]:
    """Output of each module, of its last call. Cloned at once: torchvision's ReLUs work in place."""
    found: dict[str, np.ndarray] = {}
    hooks = [
        model.get_submodule(path).register_forward_hook(
            lambda module, inputs, output, path=path: found.__setitem__(path, output.clone().numpy())
        )
        for path in paths
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return found


def deviation(values: np.ndarray, reference: np.ndarray) -> float:
    """‖f − g‖/‖g − mean(g)‖ over the rows of a batch."""
    f, g = (np.asarray(array, dtype=np.float64).reshape(len(array), -1) for array in (values, reference))
    return float(np.linalg.norm(f - g) / np.linalg.norm(g - g.mean(axis=0)))
