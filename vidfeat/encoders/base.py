"""What all temporal encoders share: the list of arrays that comes in and the matrix that goes out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from torch import Tensor

from vidfeat.errors import UsageError

TEN_CROPS = 10


class TemporalEncoder(TransformerMixin, BaseEstimator):
    """Base of encoders that need no training: a code depends on its own video and the parameters, nothing else.

    Input is a list of arrays, one per video: vectors ``[T, D]``, ten-crop vectors ``[T, 10, D]`` or maps
    ``[T, C, H, W]`` (ten-crop ``[T, 10, C, H, W]``), of any real number type, each with its own T ≥ 1. Ten crops of a
    frame are averaged first. Output is float32 ``[n, D']``.

    A subclass sets its parameters in ``__init__``, and implements ``_check_parameters`` and ``_code``.
    """

    def fit(self, X: Sequence, y=None):
        """Check the parameters; nothing is learned from X."""
        self._check_parameters()
        return self

    def transform(self, X: Sequence) -> np.ndarray:
        """Codes ``[n, D']`` of a list of videos. The code of a video does not depend on the others."""
        self._check_parameters()
        alone = isinstance(X, Sequence) and len(X) == 1
        codes = [self._encode(video, "The video" if alone else f"Video {index}") for index, video in enumerate(X)]
        if not codes:
            raise UsageError("There is no video to encode: the list is empty.")
        for index, code in enumerate(codes):
            if len(code) != len(codes[0]):
                raise UsageError(
                    f"Video {index} gives a code of {len(code)} numbers, video 0 one of {len(codes[0])}. "
                    "All videos of a list must have the same feature."
                )
        return np.stack(codes)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags

    def _check_parameters(self) -> None:
        """Raise UsageError for a parameter that is not allowed."""
        raise NotImplementedError

    def _code(self, frames: Tensor) -> Tensor:
        """The code of one video, one axis; ``frames`` is ``[T, D]`` or ``[T, C, H, W]``, float32 or float64."""
        raise NotImplementedError

    def _encode(self, video, name: str) -> np.ndarray:
        with naming(name):
            return finite_codes(self._code(self._frames(video)))

    def _frames(self, video) -> Tensor:
        """The frames of one video as :meth:`_code` takes them."""
        return frames_of(video)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Errors of this block say which video cannot be encoded."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{name} cannot be encoded: {error}") from error


def finite_codes(codes: Tensor) -> np.ndarray:
    """Codes as they are stored, float32; UsageError if they are not finite."""
    result = codes.to(torch.float32).numpy()
    if not np.isfinite(result).all():
        raise UsageError("it holds NaN or infinite values. Check the features with `vidfeat verify`.")
    return result


def frames_of(video) -> Tensor:
    """The frames of one video as a float tensor ``[T, D]`` or ``[T, C, H, W]``, ten crops averaged, without a copy if
    the array is float32 or float64 already."""
    array = np.asarray(video)
    check_frames(array)
    if array.ndim in (3, 5):
        array = array.mean(axis=1, dtype=np.float64)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype.itemsize <= 2 else np.float64)
    if not array.flags.writeable or not array.dtype.isnative or any(stride < 0 for stride in array.strides):
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=True))
    return torch.from_numpy(array)


def check_frames(frames: np.ndarray | Tensor) -> None:
    """UsageError unless these are real numbers in one of the shapes that encoders take, and at least one."""
    shape, dtype = tuple(frames.shape), frames.dtype
    real = dtype.kind in "fiu" if isinstance(frames, np.ndarray) else not (dtype.is_complex or dtype == torch.bool)
    if not real:
        raise UsageError(f"its features have dtype {dtype}; allowed are real numbers.")
    if len(shape) not in (2, 3, 4, 5) or (len(shape) in (3, 5) and shape[1] != TEN_CROPS):
        raise UsageError(
            f"its features have shape {shape}; allowed are vectors [T, D], maps [T, C, H, W], and ten crops "
            f"of them [T, {TEN_CROPS}, …]. A single video must come as a list of one array."
        )
    if 0 in shape:
        raise UsageError(f"its features have shape {shape}: there is nothing in it. Leave empty videos out.")


def vectors_only(frames: Tensor, method: str) -> Tensor:
    """``frames`` if they are vectors; else an error saying how to make them so."""
    if frames.ndim != 2:
        raise UsageError(
            f"its features are maps of shape {list(frames.shape)}, and {method} takes one vector per frame. "
            "Extract them with --map-pool avg (or max), which averages every map over its positions."
        )
    return frames
