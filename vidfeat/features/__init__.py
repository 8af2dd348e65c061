"""Activations of convolutional networks: backbones, layer names, weights and the extractor."""

from typing import Any

_HOME = {
    "Extractor": "extractor",
    "FlowInput": "flow_input",
    "Pending": "transfer",
    "InputSpec": "backbones",
    "list_backbones": "backbones",
    "Layer": "listing",
    "layers": "listing",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    # torch and torchvision take seconds to import; nobody pays before the first use.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
