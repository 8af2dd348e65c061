"""Pairs of images as they are given: what is checked of them, and their grey levels."""

from typing import TYPE_CHECKING, Any

import numpy as np

from vidfeat.errors import UsageError

if TYPE_CHECKING:
    import torch

# Floats are meant to lie in 0…1; resizing with a bicubic kernel leaves that range a little, another scale by far.
LEAST, MOST = -0.5, 1.5

_ALLOWED = "allowed are two arrays or tensors [H, W] or [N, H, W] of one size, uint8 0…255 or float 0…1"


def is_tensor(array: Any) -> bool:
    """Whether that is a torch tensor; does not import torch."""
    return type(array).__module__.partition(".")[0] == "torch"


def check_pairs(prev: Any, next: Any) -> None:
    """UsageError unless the kinds, shapes and types are as ``_ALLOWED`` says."""
    for name, array in (("prev", prev), ("next", next)):
        if not isinstance(array, np.ndarray) and not is_tensor(array):
            raise UsageError(f"{name} is a {type(array).__name__}; {_ALLOWED}.")
    shapes = f"prev is {_described(prev)} and next {_described(next)}"
    if is_tensor(prev) != is_tensor(next):
        raise UsageError(f"{shapes}: one is a NumPy array, the other a tensor; give both as the same kind.")
    if tuple(prev.shape) != tuple(next.shape):
        raise UsageError(f"{shapes}: they differ in shape; {_ALLOWED}. Resize the frames to one size first.")
    if prev.dtype != next.dtype:
        raise UsageError(f"{shapes}: they differ in type; {_ALLOWED}.")
    if prev.ndim == 4 or (prev.ndim == 3 and prev.shape[2] in (3, 4) and prev.shape[1] > 4):
        raise UsageError(f"{shapes}, which looks like colour; {_ALLOWED}. Convert the images to grey first.")
    if prev.ndim == 3 and prev.shape[2] == 1 and prev.shape[1] > 1:
        raise UsageError(f"{shapes}, which looks like [H, W, 1]; {_ALLOWED}. Give image[..., 0].")
    if prev.ndim not in (2, 3):
        raise UsageError(f"{shapes}; {_ALLOWED}.")
    if 0 in prev.shape:
        raise UsageError(f"{shapes}: there is no pixel in that; {_ALLOWED}.")
    if not (str(prev.dtype).removeprefix("torch.") == "uint8" or _is_real(prev)):
        raise UsageError(f"{shapes}; {_ALLOWED}. Convert them; 16-bit images divided by 65535 are floats 0…1.")


def grey_levels(prev: Any, next: Any) -> tuple[np.ndarray, np.ndarray]:
    """Checked pairs as contiguous float32 arrays ``[N, H, W]`` of levels 0…255; UsageError for values out of range."""
    images = []
    for array in (prev, next):
        image = array.detach().cpu() if is_tensor(array) else array
        if _is_real(image):
            image = (image.float() if is_tensor(image) else image.astype(np.float32, copy=False)) * 255
        image = np.ascontiguousarray(np.asarray(image), np.float32)
        images.append(image.reshape(-1, *image.shape[-2:]))
    if _is_real(prev):
        for name, image in zip(("prev", "next"), images, strict=True):
            _check_range(name, image.min(axis=(1, 2)), image.max(axis=(1, 2)))
    return images[0], images[1]


def grey_tensors(prev: Any, next: Any, device: "torch.device") -> tuple["torch.Tensor", "torch.Tensor"]:
    """The same as :func:`grey_levels`, as tensors on ``device``."""
    import torch

    images = []
    for name, array in (("prev", prev), ("next", next)):
        if is_tensor(array):
            image = array.detach()
        else:
            # A copy where the array may not be written to, as torch has no tensors of that kind.
            kind = np.float32 if _is_real(array) else np.uint8
            image = torch.from_numpy(np.require(array, kind, ["C", "W"]))
        real = image.is_floating_point()
        image = image.to(device).float().contiguous()
        image = image.view(-1, *image.shape[-2:])
        if real:
            image = image * 255
            _check_range(name, image.amin((1, 2)).cpu().numpy(), image.amax((1, 2)).cpu().numpy())
        images.append(image)
    return images[0], images[1]


def _check_range(name: str, lowest: np.ndarray, highest: np.ndarray) -> None:
    """UsageError if a pair's levels, from the lowest to the highest, are no levels 0…255 that came as floats 0…1."""
    finite = np.isfinite(lowest) & np.isfinite(highest)
    if not finite.all():
        bad = int(np.flatnonzero(~finite)[0])
        raise UsageError(
            f"{name} of pair {bad} holds NaN or infinite values ({int((~finite).sum())} of {len(finite)} pairs do); "
            "every pixel must be finite. Replace them, or leave the pair out."
        )
    outside = (lowest < LEAST * 255) | (highest > MOST * 255)
    if outside.any():
        bad = int(np.flatnonzero(outside)[0])
        low, high = lowest[bad] / 255, highest[bad] / 255
        raise UsageError(
            f"{name} of pair {bad} holds floats from {low:g} to {high:g}; floats must lie in 0…1, and OpenCV "
            f"multiplies them by 255 (below {LEAST:g} or above {MOST:g} is an error). Give levels 0…255 as uint8, or "
            "divide them by 255."
        )


def _is_real(array: Any) -> bool:
    return array.is_floating_point() if is_tensor(array) else array.dtype.kind == "f"


def _described(array: Any) -> str:
    return f"{list(array.shape)} {str(array.dtype).removeprefix('torch.')}"
