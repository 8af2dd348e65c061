"""Products with the frames of videos in float64, whatever their type, without a float64 copy of all of them at once."""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from vidfeat.crew import shared
from vidfeat.precision import products

# Numbers converted to float64 at a time, and numbers of a video that is still converted whole.
_BLOCK = {"cpu": 1 << 20, "cuda": 1 << 27}
_WHOLE = {"cpu": 1 << 23, "cuda": 1 << 27}
# Numbers of a product that stay in the cache of a core until they are converted.
_PRODUCT = 1 << 17
# Numbers that are put down by feature at a time, and products that are summed in float32.
_PART, _SINGLE_SUM = 1 << 23, 512
# Frames per block of a Gram matrix on a CPU: smaller blocks save more of its symmetric half, but multiply slower.
_GRAM_BLOCK = 100


class Frames:
    """The videos numbered ``videos`` (default: all) of a padded batch ``v [N, T', D]``: a batch ``[B, T, D]``.

    v is float32 or float64. real: ``[B, T]``, 1.0 for frames that exist (default: all), 0.0 for padding, whose content
    does not matter.
    """

    def __init__(self, v: Tensor, real: Tensor | None = None, videos: Tensor | None = None, threads: int | None = None):
        self.v = v
        self.threads = torch.get_num_threads() if threads is None else threads  # of compiled products
        self.videos = torch.arange(len(v), device=v.device) if videos is None else videos
        self.real = v.new_ones(*v.shape[:2], dtype=torch.float64) if real is None else real
        self.shape = (*self.real.shape, v.shape[2])
        self.lengths = [int(length) for length in self.real.sum(dim=1).tolist()]
        self.block, self.whole = _BLOCK[v.device.type], _WHOLE[v.device.type]
        self.memory = None
        self.converted: Tensor | None = None

    @property
    def are_single(self) -> bool:
        """Whether they are float32."""
        return self.v.dtype == torch.float32

    def single_gram(self) -> Tensor:
        """K = V Vᵀ ``[B, T, T]`` of float32 frames from float32 products: half the time of :meth:`gram`, as float64."""
        B, T, _ = self.shape
        if self.v.device.type != "cpu":
            return _single_products(self.v[self.videos, :T].masked_fill_(self.real[:, :, None] == 0, 0.0))
        from vidfeat.pooling.single_gram import single_gram

        result = self.v.new_zeros(B, T, T, dtype=torch.float64)
        within = self.threads if B == 1 else 1  # one video; several are shared among the threads
        squares = (out[:length, :length].numpy() for out, length in zip(result, self.lengths, strict=True))
        videos = ([v] for v in self.arrays())
        shared(single_gram, [(*both, within) for both in zip(videos, squares, strict=True)], self.threads)
        return result

    def gram(self) -> Tensor:
        """K = V Vᵀ, ``[B, T, T]``."""
        B, T, D = self.shape
        result = self.v.new_zeros(B, T, T, dtype=torch.float64)
        width = D if self._fits else max(1, self.block // T)
        for videos, _ in self.places(rows=T):
            longest = max(self.lengths[videos])
            for start in range(0, D, width):
                block = self._block(videos, slice(0, longest), slice(start, start + width))
                _add_gram(block, result[videos, :longest, :longest], first=start == 0)
        return result

    def feature_gram(self, kept: Tensor) -> Tensor:
        """Σ_t v_t v_tᵀ over the frames with ``kept [B, T]``, ``[B, D, D]``."""
        B, _, D = self.shape
        result = self.v.new_zeros(B, D, D, dtype=torch.float64)
        # Sums of D² numbers are read and written with every block: it should hold enough frames to be worth it.
        for videos, rows in self.places(rows=max(self.block // D, D // 4, 1)):
            _add_gram((self._block(videos, rows) * kept[videos, rows, None]).mT, result[videos], first=False)
        return result

    def single_feature_gram(self, kept: Tensor) -> Tensor:
        """:meth:`feature_gram` of float32 frames from float32 products, as float64."""
        B, T, D = self.shape
        if self.v.device.type != "cpu":
            return _single_products(self.v[self.videos, :T].masked_fill_(kept[:, :, None] == 0, 0.0).mT)
        from vidfeat.pooling.single_gram import single_gram

        result = self.v.new_empty(B, D, D, dtype=torch.float64)
        within = self.threads if B == 1 else 1
        videos = (_by_feature(*both) for both in zip(self.arrays(), kept.numpy(), strict=True))
        shared(single_gram, [(*both, within) for both in zip(videos, result.numpy(), strict=True)], self.threads)
        return result

    def predict(self, u: Tensor) -> Tensor:
        """V u, ``[B, D]`` -> ``[B, T]``."""
        result = u.new_empty(self.shape[:2])
        if self.is_read_directly:
            self._each("predict", u, result)
            return result
        for videos, rows, block in self.blocks():
            result[videos, rows] = (block @ u[videos, :, None])[:, :, 0]
        return result

    def combine(self, weights: Tensor) -> Tensor:
        """Vᵀ w, ``[B, T]`` -> ``[B, D]``, or ``[B, n, T]`` -> ``[B, n, D]``."""
        if weights.ndim == 2 and self.is_read_directly:
            result = weights.new_empty(self.shape[0], self.shape[2])
            self._each("combine", weights, result)
            return result
        if weights.ndim == 2:
            return self.combine(weights[:, None])[:, 0]
        result = weights.new_zeros(*weights.shape[:2], self.shape[2])
        for videos, rows, block in self.blocks():
            result[videos].baddbmm_(weights[videos, :, rows], block)
        return result

    def combine_and_predict(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """u = Vᵀ w ``[B, D]`` and V u ``[B, T]`` for w ``[B, T]``."""
        if not self.is_read_directly:
            u = self.combine(weights)
            return u, self.predict(u)
        u, fit = weights.new_empty(self.shape[0], self.shape[2]), torch.empty_like(weights)
        self._each("combine_and_predict", weights, u, fit)
        return u, fit

    def squares(self, weights: Tensor) -> Tensor:
        """Σ_t w_t v_t ⊙ v_t, ``[B, T]`` -> ``[B, D]``."""
        result = weights.new_zeros(self.shape[0], self.shape[2])
        for videos, rows, block in self.blocks():
            result[videos] += (weights[videos, None, rows] @ block.square())[:, 0]
        return result

    def take(self, index: Tensor) -> Tensor:
        """Frames ``index [B, m]`` of each video, ``[B, m, D]``; 0 where there is none."""
        frames = self.v[self.videos[:, None], index].to(torch.float64)
        is_real = self.real.gather(1, index) > 0
        return torch.where(is_real[:, :, None], frames, 0.0)  # whatever stands in the padding

    def of(self, videos: Tensor) -> "Frames":
        """The videos numbered ``videos``."""
        return Frames(self.v, self.real[videos], self.videos[videos], self.threads)

    def forget(self) -> None:
        """Give up what is kept of the frames in float64; it is made again where it is needed."""
        self.memory = self.converted = None

    @property
    def is_read_directly(self) -> bool:
        """Whether products with vectors take the frames as they are: float32 on a CPU, not converted already."""
        return self.are_single and self.v.device.type == "cpu" and self.converted is None

    def _each(self, product: str, *batches: Tensor) -> None:
        """The compiled product of that name, of every video with its rows of ``batches``."""
        from vidfeat.pooling import frame_kernels

        rows = [(frames, *(batch[row].numpy() for batch in batches)) for row, frames in enumerate(self.arrays())]
        shared(getattr(frame_kernels, product), rows, self.threads)

    def arrays(self) -> Iterator[np.ndarray]:
        """The frames ``[length, D]`` of each video, on a CPU."""
        for video, length in zip(self.videos.tolist(), self.lengths, strict=True):
            yield self.v[video, :length].detach().contiguous().numpy()

    def blocks(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Blocks ``[b, t, D]`` of successive videos and frames in float64, zero where there is no frame, with their
        places. A block is overwritten by the next."""
        for videos, rows in self.places():
            yield videos, rows, self._block(videos, rows)

    def places(self, rows: int | None = None) -> Iterator[tuple[slice, slice]]:
        """The places of those blocks: whole videos if they fit, else parts of one; or of ``rows`` frames each."""
        B, T, D = self.shape
        rows = rows or (T if self._fits else max(1, self.block // D))
        videos = max(1, self.block // (T * D))
        for first in range(0, B, videos):
            for start in range(0, T, rows):
                yield slice(first, min(first + videos, B)), slice(start, min(start + rows, T))

    @property
    def _fits(self) -> bool:
        """Whether a video can be had in float64 at once."""
        return self.v.dtype == torch.float64 or self.shape[1] * self.shape[2] <= self.whole

    def _block(self, videos: slice, rows: slice, columns: slice = slice(None)) -> Tensor:
        if self._is_kept and self.converted is None:
            everything = slice(0, self.shape[0]), slice(0, self.shape[1])
            self.converted, self.memory = self._convert(*everything, slice(None)), None
        if self.converted is not None:
            return self.converted[videos, rows, columns]
        return self._convert(videos, rows, columns)

    def _convert(self, videos: slice, rows: slice, columns: slice) -> Tensor:
        chosen, lengths = self.videos[videos], self.lengths[videos]
        block = (self.v[int(chosen), None] if len(chosen) == 1 else self.v[chosen])[:, rows, columns]
        is_padded = min(lengths) < rows.stop
        if is_padded or block.dtype != torch.float64:
            block = self._room(block.shape).copy_(block)
        if is_padded:
            for video, length in zip(block, lengths, strict=True):
                video[max(0, length - rows.start) :] = 0.0
        return block

    @property
    def _is_kept(self) -> bool:
        """Whether frames, which are read several times, are converted once: if they are not too many."""
        return math.prod(self.shape) <= (self.whole if self.shape[0] == 1 else self.block)

    def _room(self, shape: torch.Size) -> Tensor:
        """Float64 memory for one block; it is used again for the next, as new memory costs more than its conversion."""
        if self.memory is None or self.memory.numel() < shape.numel():
            self.memory = self.v.new_empty(shape.numel(), dtype=torch.float64)
        return self.memory[: shape.numel()].view(shape)


def _single_products(v: Tensor) -> Tensor:
    """V Vᵀ in float64 of products of float32 ``v [B, T, D]``, summed up in it as far as on a CPU; never in TF32."""
    result = v.new_zeros(*v.shape[:2], v.shape[1], dtype=torch.float64)
    with products("fp32", v.device):
        for part in v.split(_SINGLE_SUM, dim=2):
            result += part @ part.mT
    return result


def _by_feature(v: np.ndarray, kept: np.ndarray) -> Iterator[np.ndarray]:
    """The frames of ``v [T, D]`` with ``kept [T or more]`` in parts ``[D, t]``."""
    step = max(_SINGLE_SUM, _PART // v.shape[1])
    for start in range(0, len(v), step):
        part, own = torch.from_numpy(v[start : start + step]), kept[start : min(start + step, len(v))] != 0
        yield (part if own.all() else part[torch.from_numpy(own)]).T.contiguous().numpy()


def _add_gram(v: Tensor, out: Tensor, first: bool) -> None:
    """out = V Vᵀ, or out += V Vᵀ, for ``v [B, T, D]``; on a CPU without most of its upper half, which is copied (torch
    lacks BLAS's syrk, which would save it all)."""
    scale = 0.0 if first else 1.0
    if v.device.type != "cpu":
        torch.baddbmm(out, v, v.mT, beta=scale, out=out)
        return
    T = v.shape[1]
    parts = max(1, min(4, T // _GRAM_BLOCK))
    edges = [T * k // parts for k in range(parts + 1)]
    for video, result in zip(v, out, strict=True):
        for start, stop in pairwise(edges):
            lower = result[start:stop, :stop]
            torch.addmm(lower, video[start:stop], video[:stop].T, beta=scale, out=lower)
            result[:start, start:stop].copy_(lower[:, :start].T)


def put_product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """out = left · right on a CPU, for float64 ``left [T, n]``, ``right [n, D]`` and ``out [T, D]`` of any type, block
    by block: the float64 product is never written to memory as a whole."""
    if out.dtype == torch.float64:
        out.copy_(left @ right)
        return
    step = max(1, _PRODUCT // right.shape[1])
    for start in range(0, len(out), step):
        out[start : start + step] = left[start : start + step] @ right
