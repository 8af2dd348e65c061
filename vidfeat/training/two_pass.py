"""The gradient of a loss on whole videos in the memory of a few frames.

    1. X = CNN(frames), chunk by chunk, without a graph                                       [ΣT, D]
    2. loss of pooling and classifier on X as a leaf, and its gradient G = ∂L/∂X              [ΣT, D]
    3. chunk by chunk: the frames once more, with a graph, and backward with their rows of G

One more forward pass; memory for the graph of one chunk, and for X and G. The last chunk of 1 keeps its graph, so that
a step of one chunk costs what plain backpropagation does. Exact: masks of dropout belong to frames, and batch norms use
fixed statistics.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from vidfeat.errors import UsageError
from vidfeat.networks.model import VideoNetwork
from vidfeat.networks.pools import Pooling
from vidfeat.precision import check_precision, products
from vidfeat.training.batch import Chunk, Clip, Masks, StoredVectors, VideoBatch, given, packed, rows_of
from vidfeat.training.memory import ChunkMemoryError, is_out_of_memory, release, suggested_chunk, trains
from vidfeat.training.upload import Uploads


@dataclass(frozen=True)
class StepOutput:
    """What a step gave, besides the gradients in the parameters.

    Attributes:
        loss: Σ over this process's videos of their losses, on the device.
        scores: ``[B, K]``.
        frames: whose vectors were computed (or given).
        pooling_seconds: in pooling and classifier, forward and backward.
        wild: ids of videos with frame vectors that are not finite. The loss is NaN then, and the gradients are of no
            use; but all processes have done what they do together.
    """

    loss: Tensor
    scores: Tensor
    frames: int
    pooling_seconds: float
    wild: tuple[str, ...] = ()


@dataclass
class _Rows:
    """The frame vectors of a stream."""

    x: Tensor  # [ΣT, D], a leaf
    graph: tuple[Chunk, Tensor] | None = None  # the chunk that kept its graph, and its vectors
    reduced: bool = False  # x is what the pooling made of the vectors before its first parameter, [B, …]


class TwoPass:
    """Gradients and scores of a video network.

    Args:
        model: on its device, with its type.
        device: of the model.
        precision: ``fp32``, ``bf16``, on a GPU ``tf32`` and ``fp16``: of the networks of frames (weights stay float32;
            pooling and classifier are computed in the type of the weights).
        chunk: frames at once; by default by the free memory.
        surrogate: K; in epoch r only frames t ≡ r (mod K), t from 0, carry gradient. 1 is the exact gradient.
        rescale: multiply that gradient by K.
        compile: run the networks of frames through ``torch.compile``.

    Raises:
        ChunkMemoryError: not even half of a chunk fits.

    Source: the surrogate gradient is Eq. 7 of *Deep multiple aggregation networks for action recognition*.
    """

    def __init__(
        self,
        model: VideoNetwork,
        device: torch.device,
        precision: str = "fp32",
        chunk: int | None = None,
        surrogate: int = 1,
        rescale: bool = False,
        compile: bool = False,
    ):
        number = check_precision(precision, device)
        if surrogate < 1 or (chunk is not None and chunk < 1):
            raise UsageError(f"surrogate={surrogate}, chunk={chunk}: both must be at least 1.")
        self.model, self.device, self.precision = model, device, precision
        self.surrogate, self.factor = surrogate, float(surrogate) if rescale else 1.0
        self._autocast = number if number in (torch.bfloat16, torch.float16) else None
        self._networks: dict[str, Callable] = {
            name: torch.compile(stream.frames, dynamic=True) if compile else stream.frames
            for name, stream in model.streams.items()
            if stream.frames is not None
        }
        self.chunk = chunk or self._suggested()
        self.uploads = Uploads(device)
        self._before: int | None = None  # frames at once before they were halved
        self._halved = False

    def backward(
        self, batch: VideoBatch, seed: int, epoch: int, total: float, scale: Callable[[Tensor], Tensor] | None = None
    ) -> StepOutput:
        """Add the gradient of (1/total) Σ_i loss_i to the parameters, which must have none yet.

        Args:
            batch: with targets.
            seed, epoch: of the masks; the epoch also chooses the frames of the surrogate gradient.
            total: videos of the step, of all processes.
            scale: what a gradient scaler does to a loss.
        """
        if batch.targets is None:
            raise UsageError("a batch of training videos needs targets.")
        self.model.train()
        self.uploads.forget()
        masks = {name: Masks(seed, epoch, name, batch.ids) for name in self.model.streams}
        with products(self.precision, self.device):
            rows = self._retried(lambda: self._vectors(batch, masks, training=True), "forward")
            wild = _wild(batch, rows)
            started = self._now()
            judged = self._judge(batch, rows, masks, batch.targets.to(self.device))
            loss = judged.loss.sum()
            mean = loss / total
            (mean if scale is None else scale(mean)).backward()
            pooling = self._now() - started
            if any(trains(self.model.streams[name].frames) for name in rows):
                self._retried(lambda: self._recompute(batch, rows, masks, epoch), "backward")
        frames = sum(sum(batch.lengths(name)) for name in rows)
        loss = loss.detach() * (torch.nan if wild else 1.0)
        return StepOutput(loss, judged.scores, frames, pooling, wild)

    def scores(self, batch: VideoBatch) -> Tensor:
        """Scores ``[B, K]`` outside training: probabilities, or margins for the hinge loss; NaN for a video with frame
        vectors that are not finite."""
        self.model.eval()
        self.uploads.forget()
        with torch.no_grad(), products(self.precision, self.device):
            rows = self._retried(lambda: self._vectors(batch, None, training=False), "forward")
            wild = _wild(batch, rows)
            scores = self._judge(batch, rows, None, None).scores
            scores[[item in wild for item in batch.ids]] = torch.nan
            return scores

    def _vectors(self, batch: VideoBatch, masks: Mapping[str, Masks] | None, training: bool) -> dict[str, _Rows]:
        """Pass 1."""
        found = {}
        kept = self._keeper() if training else None
        for name, stream in self.model.streams.items():
            lengths = batch.lengths(name)
            if stream.frames is None:
                found[name] = self._given(batch.clips[name], stream.pool)
                continue
            x = torch.empty(sum(lengths), stream.frames.dim, dtype=self._type(), device=self.device)
            chunks = packed(lengths, self.chunk)
            one = _Rows(x)
            for chunk, frames in self.uploads.frames(name, chunks, batch.clips[name]):
                with_graph = name == kept and chunk is chunks[-1] and self.surrogate == 1
                with torch.set_grad_enabled(with_graph):
                    vectors = self._run(name, chunk, frames, masks)
                x[rows_of(chunk, lengths).to(self.device)] = vectors.detach()
                if with_graph:
                    one.graph = (chunk, vectors)
            x.requires_grad_(training and trains(stream.frames))
            found[name] = one
        return found

    def _recompute(self, batch: VideoBatch, rows: Mapping[str, _Rows], masks: Mapping[str, Masks], epoch: int) -> None:
        """Pass 2."""
        for name, one in reversed(list(rows.items())):
            network = self.model.streams[name].frames
            if not trains(network):
                continue
            if self._halved:
                one.graph = None
                network.zero_grad(set_to_none=True)
            lengths = batch.lengths(name)
            gradient = one.x.grad if self.factor == 1.0 else one.x.grad * self.factor
            done = None
            if one.graph is not None:
                done, vectors = one.graph
                one.graph = None
                vectors.backward(gradient[rows_of(done, lengths).to(self.device)])
                del vectors
            chunks = packed(lengths, self.chunk, self.surrogate, epoch % self.surrogate)
            chunks = [chunk for chunk in chunks if chunk != done]
            for chunk, frames in self.uploads.frames(name, chunks, batch.clips[name]):
                vectors = self._run(name, chunk, frames, masks)
                if vectors.requires_grad:
                    vectors.backward(gradient[rows_of(chunk, lengths).to(self.device)].to(vectors.dtype))

    def _run(self, name: str, chunk: Chunk, frames: Tensor, masks: Mapping[str, Masks] | None) -> Tensor:
        """Vectors of a chunk's frames, in the type of the weights."""
        keys = None if masks is None else masks[name].of_frames(chunk).to(self.device)
        # A context for every chunk: autocast keeps its copies of the weights, those of pass 1 without a graph.
        with torch.autocast(self.device.type, self._autocast, enabled=self._autocast is not None):
            vectors = self._networks[name](frames, keys)
        return vectors.to(self._type())

    def _judge(self, batch: VideoBatch, rows: Mapping[str, _Rows], masks, targets: Tensor | None):
        lengths = {name: batch.lengths(name) for name in rows}
        keys = None
        if masks is not None:
            keys = {name: (one.of_all(lengths[name]) if self.model.streams[name].per_frame else one.of_videos())
                    .to(self.device) for name, one in masks.items()}  # fmt: skip
        reduced = [name for name, one in rows.items() if one.reduced]
        return self.model.judge({name: one.x for name, one in rows.items()}, lengths, targets, keys, reduced)

    def _given(self, clips: Sequence[Clip], pool: Pooling) -> _Rows:
        """Frame vectors that were read from a file, or what is kept of them."""
        like = torch.empty(0, dtype=self._type(), device=self.device)
        if clips and pool.reduces and all(isinstance(clip, StoredVectors) for clip in clips):
            return _Rows(torch.stack([clip.reduced(pool, like) for clip in clips]), reduced=True)
        return _Rows(given(clips, pool.features, like))

    def _retried(self, work: Callable, direction: str):
        """The result of ``work``; once in a run again with chunks of half the size, if memory does not suffice."""
        self._halved = False
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if self.chunk == 1 or self._before is not None:
                raise self._too_large(direction) from None
            # The error's traceback, and with it what did not fit, is gone after this block.
        self._before, self.chunk, self._halved = self.chunk, self.chunk // 2, True
        self.uploads.forget()
        release(self.device)
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise self._too_large(direction) from None
            raise
        finally:
            self._halved = False

    def _too_large(self, direction: str) -> ChunkMemoryError:
        tried = f"{self.chunk} frames at once" + (f", after {self._before}" if self._before else "")
        return ChunkMemoryError(
            f"out of memory on {self.device} in the {direction} pass of the network with {tried}. Ways out: a smaller "
            "--chunk, smaller frames, --precision bf16, fewer videos per step, or a device that nobody else uses."
        )

    def _keeper(self) -> str | None:
        """The stream whose last chunk keeps its graph: the last one that is trained."""
        return next(
            (name for name in reversed(list(self.model.streams)) if trains(self.model.streams[name].frames)), None
        )

    def _suggested(self) -> int:
        streams = [stream.frames for stream in self.model.streams.values() if stream.frames is not None]
        return min((suggested_chunk(network, self.device, self._autocast) for network in streams), default=1)

    def _type(self) -> torch.dtype:
        return self.model.fusion_like.dtype

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()


def _wild(batch: VideoBatch, rows: Mapping[str, _Rows]) -> tuple[str, ...]:
    """Ids of the videos with vectors that are not all finite; those of all videos of such a stream become zero."""
    found: dict[str, None] = {}
    for name, one in rows.items():
        # NaN and infinity both show in the extremes, which are read off twenty times faster than isfinite is computed.
        if not one.x.numel() or bool(torch.isfinite(torch.stack(one.x.detach().aminmax())).all()):
            continue
        finite = torch.isfinite(one.x).flatten(1).all(1)
        # A new tensor: the old one may be the caller's.
        one.x = torch.zeros_like(one.x).requires_grad_(one.x.requires_grad)
        lengths = [1] * len(batch) if one.reduced else batch.lengths(name)
        videos = finite.split(lengths)
        found |= {item: None for item, own in zip(batch.ids, videos, strict=True) if not bool(own.all())}
    return tuple(found)
