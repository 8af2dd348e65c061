"""What encoders of local features share: positions of maps as features, a codebook, sums over blocks of frames."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.exceptions import NotFittedError
from torch import Tensor

from vidfeat.codebooks import choose_rows, pca, shares
from vidfeat.codebooks.rows import threads
from vidfeat.encoders.base import TemporalEncoder, check_frames, finite_codes, naming
from vidfeat.errors import UsageError
from vidfeat.pooling.normalise import l2_normalise

PER, POOLS = ("item", "frame"), ("avg", "max")

# Numbers in a block of local features and their products with words: few enough for the cache of a core, many enough
# for a matrix product.
_BLOCK = {"cpu": 1 << 19, "cuda": 1 << 24}
# Parts of a video that threads share: enough to keep them busy, not so many that their sums fill the memory.
_PARTS, _PART_BYTES = 16, 1 << 28
# Norms of float32 vectors that can be computed in float32: below, squares underflow.
_LEAST = 1e-15


class LocalEncoder(TemporalEncoder):
    """Base of encoders that describe a set of local features by a codebook learnt from others.

    A position of a map ``[T, C, H, W]`` is a local feature in R^C, a vector ``[T, D]`` is one of its frame; every one
    of ten crops has its own. A code is a function of sums over local features, so that frames may come in pieces
    (:meth:`start`, :meth:`add`, :meth:`finish`), and memory does not grow with their number.

    A subclass names what it learns in ``_learned`` (attributes, which may also be set; the last is ``[…, d]``), its
    normalisations in ``_norms``, and implements ``code_length``, ``_train``, ``_codebook``, ``_statistics`` and
    ``_codes``.

    Attributes:
        offset_, projection_: ``[D]`` and ``[d, D]``, or None: local features x become projection·(x − offset).
    """

    _learned: ClassVar[tuple[str, ...]] = ()
    _norms: ClassVar[tuple[str, ...]] = ()
    offset_ = projection_ = None

    def fit(self, X: Sequence, y=None):
        """Learn the codebook from ``samples`` local features of the videos X, drawn at random by ``seed``."""
        self._check_parameters()
        if len(X) == 0:
            raise UsageError("A codebook is learnt from local features, but the list of videos is empty.")
        videos = []
        for number, video in enumerate(X):
            with naming(f"Video {number}"):
                videos.append(self._frames(video))
            width, first = (feature_width(frames.shape) for frames in (videos[-1], videos[0]))
            if width != first:
                raise UsageError(
                    f"Local features of video {number} have {width} numbers, those of video 0 {first}. All videos of a "
                    "list must have the same feature."
                )
        counts = [positions(video.shape) for video in videos]
        drawn = [
            local_features(video, choose_rows(str(number), count, wanted, self.seed))
            for number, (video, count, wanted) in enumerate(
                zip(videos, counts, shares(counts, self.samples), strict=True)
            )
            if wanted
        ]
        return self.fit_samples(np.concatenate(drawn))

    def fit_samples(self, samples: np.ndarray, progress: Any = None):
        """Learn the codebook from local features ``[n, D]`` as they are in maps, before any normalisation."""
        self._check_parameters()
        rows = torch.from_numpy(np.array(samples, np.float32))
        if self.local_norm:
            rows = l2_normalise(rows)
        self.offset_ = self.projection_ = None
        if self.n_components is not None:
            found = pca(rows.numpy(), self.n_components, whiten=False)
            self.offset_, self.projection_ = found.mean.astype(np.float32), found.components.astype(np.float32)
            rows = self._project(rows)
        self._train(rows, progress)
        return self

    def learned(self) -> dict[str, np.ndarray]:
        """Everything that was learnt, by name without the last underscore, for a file."""
        self._check_fitted()
        names = [*self._learned, *(["offset_", "projection_"] if self.projection_ is not None else [])]
        return {name.rstrip("_"): np.asarray(getattr(self, name)) for name in names}

    def with_learned(self, arrays: Mapping[str, np.ndarray]):
        """A copy of this encoder that has learnt what :meth:`learned` of another gave."""
        other = copy.copy(self)
        for name in [*self._learned, "offset_", "projection_"]:
            if name.rstrip("_") in arrays:
                setattr(other, name, np.asarray(arrays[name.rstrip("_")]))
            elif name in self._learned:
                raise UsageError(f"The codebook has no {name.rstrip('_')!r}, which {type(self).__name__} needs.")
        return other

    @property
    def code_length(self) -> int:
        """Numbers of a code: k·d, or 2Kd, or k."""
        raise NotImplementedError

    def start(self) -> "Sums":
        """Sums over no frame at all."""
        self._check_parameters()
        self._check_fitted()
        return Sums()

    def add(self, sums: "Sums", frames: Any) -> None:
        """Add the local features of some frames, ``[T, D]``, ``[T, C, H, W]``, or ten crops of them."""
        frames = self._frames(frames)
        width = feature_width(frames.shape)
        if width != self.input_width:
            raise UsageError(f"its local features have {width} numbers, those of the codebook {self.input_width}.")
        device = torch.device(self.device)
        codebook = self._codebook(device)
        pooled = torch.maximum if (self.per, self.pool) == ("frame", "max") else torch.add
        with threads(device) as run:
            for part in run(lambda part: self._sums(part, codebook, pooled, device), self._parts(frames, device)):
                sums.add(part.total, part.frames, pooled)

    def finish(self, sums: "Sums") -> np.ndarray:
        """The code of the frames that were added, float32 ``[D']``."""
        return finite_codes(self._finish(sums).cpu())

    def __sklearn_is_fitted__(self) -> bool:
        return all(hasattr(self, name) for name in self._learned)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags

    def _train(self, rows: Tensor, progress: Any) -> None:
        """Learn from local features ``[n, d]`` that are normalised and projected."""
        raise NotImplementedError

    def _codebook(self, device: torch.device) -> Any:
        """What was learnt, as :meth:`_statistics` needs it."""
        raise NotImplementedError

    def _statistics(self, rows: Tensor, codebook: Any) -> Tensor:
        """Sums ``[B, …]`` over the local features of each of B sets, float32 ``[B, P, d]``."""
        raise NotImplementedError

    def _codes(self, statistics: Tensor) -> Tensor:
        """Codes ``[B, D']`` from float64 sums, all but the last normalisation."""
        raise NotImplementedError

    def _check_parameters(self) -> None:
        for name, allowed in (("per", PER), ("pool", POOLS), ("norm", self._norms)):
            if getattr(self, name) not in allowed:
                raise UsageError(f"{name}={getattr(self, name)!r} is unknown. Allowed: {', '.join(allowed)}.")
        for name in ("n_words", "samples", "n_components"):
            value = getattr(self, name)
            if not (value is None and name == "n_components") and not (
                isinstance(value, int | np.integer) and value > 0
            ):
                raise UsageError(f"{name}={value!r}; it must be a whole number, 1 or more.")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(
                f"This {type(self).__name__} has no codebook: fit it first, or set {self._learned[0]}."
            )

    def _frames(self, video: Any) -> Tensor:
        return local_frames(video)

    def _encode(self, video: Any, name: str) -> np.ndarray:
        self._check_fitted()
        return super()._encode(video, name)

    @property
    def input_width(self) -> int:
        """Numbers of a local feature, as features have them, before a reduction."""
        return len(self.offset_) if self.offset_ is not None else self._width()

    def _code(self, frames: Tensor) -> Tensor:
        sums = self.start()
        self.add(sums, frames)
        return self._finish(sums).cpu()

    def _finish(self, sums: "Sums") -> Tensor:
        if not sums.frames:
            raise UsageError("it has no frames.")
        if self.per == "item":
            return self._normalised(sums.total)[0]
        pooled = sums.total[0] / sums.frames if self.pool == "avg" else sums.total[0]
        return l2_normalise(pooled) if self.normalize else pooled

    def _normalised(self, statistics: Tensor) -> Tensor:
        codes = self._codes(statistics.to(torch.float64))
        return l2_normalise(codes) if self.normalize else codes

    def _parts(self, frames: Tensor, device: torch.device) -> Sequence[Tensor]:
        """Pieces for one thread each, which depend on sizes only: so do the codes."""
        most = 1 if device.type == "cuda" else min(_PARTS, _PART_BYTES // (8 * self.code_length))
        return frames.chunk(max(1, min(most, frames.numel() // _BLOCK["cpu"])))

    def _sums(self, frames: Tensor, codebook: Any, pooled: Callable, device: torch.device) -> "Sums":
        """Over some frames, by one thread, a few frames at a time."""
        sums = Sums()
        words = len(getattr(self, self._learned[-1]))
        numbers = frames[0].numel() + positions(frames[:1].shape) * words
        for block in frames.split(max(1, _BLOCK[device.type] // numbers)):
            rows = self._rows(block.to(device).to(torch.float32))
            if self.per == "item":
                part = self._statistics(rows.reshape(1, -1, rows.shape[-1]), codebook)
            else:
                codes = self._normalised(self._statistics(rows, codebook))
                part = codes.sum(0, keepdim=True) if pooled is torch.add else codes.amax(0, keepdim=True)
            sums.add(part, len(block), pooled)
        return sums

    def _rows(self, frames: Tensor) -> Tensor:
        """Local features of frames as the codebook takes them, ``[frames, P, d]`` float32."""
        rows = as_rows(frames)
        norms = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        least, most = norms.aminmax()
        if not (most.isfinite() or torch.isfinite(rows).all()):
            raise UsageError("it holds NaN or infinite values. Check the features with `vidfeat verify`.")
        if self.local_norm:
            rows = rows / norms if least > _LEAST and most.isfinite() else l2_normalise(rows)
        return self._project(rows) if self.projection_ is not None else rows

    def _width(self) -> int:
        """Numbers of a local feature that the codebook describes."""
        return getattr(self, self._learned[-1]).shape[-1]

    def _project(self, rows: Tensor) -> Tensor:
        offset, projection = (torch.as_tensor(part, device=rows.device) for part in (self.offset_, self.projection_))
        return (rows - offset) @ projection.T


class Sums:
    """What was added so far: sums (or maxima) in float64, and the number of frames."""

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.frames = 0

    def add(self, part: Tensor, frames: int, pooled: Callable = torch.add) -> None:
        """``pooled``: ``torch.add``, or ``torch.maximum``."""
        part = part.to(torch.float64)
        self.total = part if self.total is None else pooled(self.total, part)
        self.frames += frames


def local_frames(video: Any) -> Tensor:
    """The frames of one video as a tensor, of the type it has; UsageError for anything but features."""
    if isinstance(video, Tensor):
        check_frames(video)
        return video
    array = np.asarray(video)
    check_frames(array)
    if not array.flags.writeable or not array.dtype.isnative or any(stride < 0 for stride in array.strides):
        array = array.astype(array.dtype.newbyteorder("="), copy=True)
    return torch.from_numpy(array)


def feature_width(shape: Sequence[int]) -> int:
    """Numbers of a local feature in frames ``[T, D]``, ``[T, C, H, W]`` or ten crops of them."""
    return shape[-1] if len(shape) in (2, 3) else shape[-3]


def positions(shape: Sequence[int]) -> int:
    """Local features of all the frames."""
    return int(np.prod(shape)) // feature_width(shape)


def as_rows(frames: Tensor) -> Tensor:
    """``[T, D]`` or ``[T, C, H, W]``, or ten crops of them, as local features ``[T, P, d]``, row by row of a map."""
    if frames.ndim in (4, 5):
        frames = frames.flatten(-2).transpose(-1, -2)
    return frames.reshape(len(frames), -1, frames.shape[-1])


def local_features(frames: Tensor, rows: Iterable[int]) -> np.ndarray:
    """The local features of these numbers (see :func:`positions`), float32 ``[n, d]``."""
    rows = torch.as_tensor(np.asarray(rows, np.int64))
    each = positions(frames.shape) // len(frames)
    chosen = [
        as_rows(frames[number : number + 1])[0, inside]
        for number in torch.unique(rows // each).tolist()
        for inside in [rows[rows // each == number] % each]
    ]
    return torch.cat(chosen).to(torch.float32).numpy()
