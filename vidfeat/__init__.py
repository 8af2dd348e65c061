"""vidfeat: features from videos, codes from features, classifiers from codes.

The names below are imported on first use, so that ``import vidfeat`` itself costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "open_features": ("vidfeat.store", "open_features"),
    "open_codes": ("vidfeat.store", "open_codes"),
    "pooling": ("vidfeat.pooling", None),
    "encoders": ("vidfeat.encoders", None),
    "codebooks": ("vidfeat.codebooks", None),
    "classify": ("vidfeat.classify", None),
    "retrieval": ("vidfeat.retrieval", None),
    "features": ("vidfeat.features", None),
    "flow": ("vidfeat.flow", None),
    "metrics": ("vidfeat.metrics", None),
    "networks": ("vidfeat.networks", None),
    "training": ("vidfeat.training", None),
    "stages": ("vidfeat.stages", None),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'vidfeat' has no attribute {name!r}; it has {', '.join(sorted(_LAZY))}")
    module_name, attribute = _LAZY[name]
    module = importlib.import_module(module_name)
    return module if attribute is None else getattr(module, attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
