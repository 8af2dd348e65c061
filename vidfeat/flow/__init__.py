"""Dense optical flow between consecutive frames: TV-L1 and other methods, and what is made of their fields.

A field is ``[2, H, W]`` float32 pixels, the motion in x before that in y: prev(y, x) ~ next(y + u_y, x + u_x).
Names load on first use, because OpenCV, torch and Numba take a while to import.
"""

from importlib import import_module

_HOME = {
    "tvl1": "tvl1_flow",
    "TVL1Info": "tvl1_flow",
    "TVL1Parameters": "parameters",
    "METHODS": "methods",
    "flow_method": "methods",
    "method_settings": "methods",
    "FlowMethod": "base",
    "quantise": "levels",
    "dequantise": "levels",
    "to_float16": "levels",
    "stack_starts": "stacks",
    "flow_stacks": "stacks",
    "subtract_mean": "stacks",
    "flip_flow": "stacks",
    "resize_flow": "stacks",
    "flow_image": "images",
    "flow_pixels": "images",
    "inflate_conv1": "images",
    "read_flo": "flo",
    "flo_bytes": "flo",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
