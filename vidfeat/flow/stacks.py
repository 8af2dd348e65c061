"""Stacks of consecutive fields as network input, and the changes of a picture that change its vectors too.

Fields are NumPy arrays or torch tensors ``[…, C, H, W]`` whose C channels are x1, y1, x2, y2, …: one field has C = 2, a
stack of L has C = 2L. Pixels are floats, quantised flow is uint8 (:mod:`vidfeat.flow.levels`).

Source: K. Simonyan, A. Zisserman, *Two-Stream Convolutional Networks for Action Recognition in Videos*, 2014.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.flow.checks import whole
from vidfeat.flow.pairs import is_tensor

if TYPE_CHECKING:
    import torch

LENGTH = 10


def stack_starts(fields: int, length: int = LENGTH, stride: int = 1) -> range:
    """Indices k of the first field of every stack: 0, stride, 2·stride, … while k + length ≤ fields.

    Stack k holds the fields k…k + length − 1, thus the motion from frame k to frame k + length: it starts at its frame
    and looks ahead, as in the two-stream network. A stack that would run over the end is left out, nothing is repeated
    or padded: T frames have T − 1 fields and T − length stacks, none if T ≤ length.
    """
    for name, value, least in (("fields", fields, 0), ("length", length, 1), ("stride", stride, 1)):
        whole(name, value, least)
    return range(0, max(0, fields - length + 1), stride)


def flow_stacks(fields: Any, starts: Any, length: int = LENGTH) -> Any:
    """Fields ``[T, 2, H, W]`` -> stacks ``[n, 2·length, H, W]``, channels x1, y1, x2, y2, …, one for each start.

    Type and kind are those of ``fields``; the result shares no memory with it.

    Raises:
        UsageError: no fields of two channels, or a stack that runs over an end.
    """
    if len(fields.shape) != 4 or fields.shape[1] != 2:
        raise UsageError(f"fields have shape {list(fields.shape)}; stacks are made of [T, 2, H, W].")
    starts, count = [int(start) for start in starts], len(fields)
    wrong = [start for start in starts if not 0 <= start <= count - length]
    if wrong:
        raise UsageError(
            f"a stack of {length} fields from {wrong[0]} needs fields {wrong[0]}…{wrong[0] + length - 1}, and there "
            f"are {count}; stack_starts({count}, {length}) gives the starts that fit."
        )
    height, width = fields.shape[2:]
    if is_tensor(fields):
        stacks = fields.new_empty((len(starts), 2 * length, height, width))
    else:
        stacks = np.empty((len(starts), 2 * length, height, width), fields.dtype)
    for stack, start in zip(stacks, starts, strict=True):
        stack[...] = fields[start : start + length].reshape(2 * length, height, width)
    return stacks


def subtract_mean(flow: Any) -> Any:
    """The flow in pixels less the mean of each component over its picture: the motion of the camera, roughly.

    Source: Simonyan and Zisserman 2014, mean flow subtraction.
    """
    _check_channels(flow)
    if not _is_float(flow):
        raise UsageError(f"the flow is {flow.dtype}; means are subtracted in pixels. Call dequantise first.")
    if is_tensor(flow):
        return flow - flow.mean((-2, -1), keepdim=True)
    return flow - flow.mean(axis=(-2, -1), keepdims=True)


def flip_flow(flow: Any) -> Any:
    """The flow of the mirrored pictures (left and right exchanged): mirrored, with x negated; twice is the identity.

    Quantised flow (uint8) has x replaced by 255 − x, which stands for the negative. A copy.
    """
    _check_channels(flow)
    if not (_is_float(flow) or str(flow.dtype).endswith("uint8")):
        raise UsageError(f"the flow is {flow.dtype}; allowed are floating point (pixels) and uint8 (quantised).")
    flipped = flow.flip(-1) if is_tensor(flow) else flow[..., ::-1].copy()
    x = flipped[..., 0::2, :, :]
    flipped[..., 0::2, :, :] = -x if _is_float(flow) else 255 - x
    return flipped


def resize_flow(flow: Any, height: int, width: int) -> Any:
    """The flow of the pictures resized: resampled bilinearly (shrinking filters), and its vectors scaled alike.

        x · width / W,  y · height / H

    Args:
        flow: ``[…, C, H, W]`` floating point, pixels.
        height, width: of the result, in pixels ≥ 1.

    Returns:
        ``[…, C, height, width]`` float32, of the kind of ``flow``.

    Raises:
        UsageError: quantised flow, whose vectors could leave the bound: dequantise first.
    """
    import torch
    from torch.nn.functional import interpolate

    _check_channels(flow)
    if not _is_float(flow):
        raise UsageError(f"the flow is {flow.dtype}; vectors are rescaled in pixels. Call dequantise first.")
    height, width = whole("height", height, 1), whole("width", width, 1)
    if is_tensor(flow):
        return _resized(flow.float(), height, width, interpolate)
    source = torch.from_numpy(np.require(flow, np.float32, ["C", "W"]))
    return _resized(source, height, width, interpolate).numpy()


def _resized(flow: "torch.Tensor", height: int, width: int, interpolate: Any) -> "torch.Tensor":
    pixels = flow.reshape(-1, *flow.shape[-3:])
    if flow.shape[-2:] != (height, width):
        pixels = interpolate(pixels, (height, width), mode="bilinear", align_corners=False, antialias=True)
    pixels = pixels.reshape(*flow.shape[:-2], height, width).clone()
    pixels[..., 0::2, :, :] *= width / flow.shape[-1]
    pixels[..., 1::2, :, :] *= height / flow.shape[-2]
    return pixels


def _check_channels(flow: Any) -> None:
    if len(flow.shape) < 3 or flow.shape[-3] % 2 or 0 in flow.shape[-3:]:
        raise UsageError(
            f"the flow has shape {list(flow.shape)}; it must be […, C, H, W] with C even: x1, y1, x2, y2, …, not empty."
        )


def _is_float(flow: Any) -> bool:
    return flow.is_floating_point() if is_tensor(flow) else flow.dtype.kind == "f"
