"""The network of whole videos: streams of frames, each with pooling and classifier, and their fusion."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidfeat.errors import UsageError
from vidfeat.networks.backbone import FrameNetwork
from vidfeat.networks.keyed import KeyedDropout
from vidfeat.networks.losses import (
    LOSSES,
    check_targets,
    cross_entropy,
    hinge,
    log_mean_softmax,
    mixture_loss,
)
from vidfeat.networks.pools import FramePooling, Pooling, mean_over_frames
from vidfeat.networks.values import drawn_linear
from vidfeat.pooling.preparation import check_choice


class Stream(nn.Module):
    """Frames → vectors → pooling → linear classifier.

    Args:
        frames: the network of a frame; None where frame vectors come from a file (only pooling and classifier are
            trained then).
        pool: see :func:`vidfeat.networks.make_pool`.
        classes: K.
        dropout: probability, before the classifier.
        bias: of the classifier.
        seed: of the classifier's values, small ones, so that all classes start with about the same score.
    """

    def __init__(
        self, frames: FrameNetwork | None, pool: Pooling, classes: int, dropout: float = 0.0, bias: bool = True,
        seed: int = 0,
    ):  # fmt: skip
        super().__init__()
        if frames is not None and frames.dim != pool.features:
            raise UsageError(
                f"the frame network gives {frames.dim} numbers per frame, the pooling takes {pool.features}."
            )
        if classes < 2:
            raise UsageError(f"{classes} class is not enough: a classifier tells at least 2 apart.")
        if not 0.0 <= dropout < 1.0:
            raise UsageError(f"dropout={dropout} is not allowed: it is a probability, 0 ≤ p < 1 (0 switches it off).")
        self.frames, self.pool = frames, pool
        self.dropout = KeyedDropout(dropout, "classifier")
        self.classifier = drawn_linear(pool.dim, classes, "classifier", seed, gain=0.01)
        if not bias:
            self.classifier.bias = None

    def scores(self, x: Tensor, lengths: Sequence[int], keys: Tensor | None = None, reduced: bool = False) -> Tensor:
        """Before the soft-max: ``[B, K]``, or ``[ΣT, K]`` where the classifier judges frames.

        Args:
            x: frame vectors ``[ΣT, D]``.
            lengths: T of every video.
            keys: int64 of every video ``[B]``; for a classifier of frames those of every frame ``[ΣT]``.
            reduced: x is what the pooling's ``reduce`` made of the frame vectors.
        """
        pooled = self.pool.finish(x) if reduced else self.pool(x, lengths)
        return self.classifier(self.dropout(pooled, keys))

    @property
    def per_frame(self) -> bool:
        return isinstance(self.pool, FramePooling)


@dataclass(frozen=True)
class Judged:
    """What the network says of the videos of a step.

    Attributes:
        scores: ``[B, K]``, detached: probabilities for cross-entropy, margins for hinge.
        loss: of every video ``[B]``, or None without targets.
    """

    scores: Tensor
    loss: Tensor | None


class VideoNetwork(nn.Module):
    """One stream or several; several are fused by learnt weights.

        p = Σ_s w_s p_s,   w = softmax(free parameters)

    on soft-max outputs for cross-entropy, on margins for hinge (ours).

    Args:
        streams: by name, such as ``rgb`` and ``flow``.
        loss: ``ce``, cross-entropy, one label per video; or ``hinge``, one-vs-rest, any number of labels.
        class_weights: c ``[K]``; ``training.balanced_weights`` makes some.

    Sources: *Deep multiple aggregation networks for action recognition* (weights of streams; their soft-max is ours);
    B. Fernando, S. Gould, *Learning End-to-end Video Classification with Rank-Pooling*, 2016.
    """

    def __init__(self, streams: Mapping[str, Stream], loss: str = "ce", class_weights: Tensor | None = None):
        super().__init__()
        check_choice("loss", loss, LOSSES)
        classes = {stream.classifier.out_features for stream in streams.values()}
        if len(classes) != 1:
            raise UsageError(
                f"the streams tell {sorted(classes)} classes apart; at least one stream, all of one number."
            )
        (self.classes,) = classes
        if class_weights is not None and list(class_weights.shape) != [self.classes]:
            raise UsageError(f"class weights have shape {list(class_weights.shape)}; {self.classes} are needed.")
        self.streams, self.loss = nn.ModuleDict(streams), loss
        self.fusion = nn.Parameter(torch.zeros(len(streams))) if len(streams) > 1 else None
        weights = None if class_weights is None else class_weights.to(self.fusion_like.dtype)
        self.register_buffer("class_weights", weights, persistent=False)

    def judge(
        self,
        features: Mapping[str, Tensor],
        lengths: Mapping[str, Sequence[int]],
        targets: Tensor | None = None,
        keys: Mapping[str, Tensor] | None = None,
        reduced: Collection[str] = (),
    ) -> Judged:
        """Everything after the frame vectors.

        Args:
            features: ``[ΣT, D]`` of every stream.
            lengths: T of every video, of every stream.
            targets: class numbers ``[B]``, or 0/1 ``[B, K]``.
            keys: of the masks of dropout, see :meth:`Stream.scores`.
            reduced: streams whose features their pooling has reduced already.
        """
        outputs = {
            name: stream.scores(features[name], lengths[name], None if keys is None else keys[name], name in reduced)
            for name, stream in self.streams.items()
        }
        if targets is not None:
            check_targets(targets, len(next(iter(lengths.values()))), self.classes, self.loss)
        found = [(self.streams[name], output, list(lengths[name])) for name, output in outputs.items()]
        return self._margins(found, targets) if self.loss == "hinge" else self._probabilities(found, targets)

    @property
    def stream_weights(self) -> Tensor:
        """w, ``[S]``."""
        return torch.softmax(self.fusion_like, 0)

    @property
    def fusion_like(self) -> Tensor:
        """The free parameters of w; zero for a single stream."""
        if self.fusion is not None:
            return self.fusion
        return next(self.parameters()).new_zeros(1)

    def head_parameters(self) -> list[nn.Parameter]:
        """Everything but the networks of frames."""
        inside = {id(value) for stream in self.streams.values() if stream.frames is not None
                  for value in stream.frames.parameters()}  # fmt: skip
        return [value for value in self.parameters() if id(value) not in inside]

    def _probabilities(self, found: list[tuple[Stream, Tensor, list[int]]], targets: Tensor | None) -> Judged:
        log_w = torch.log_softmax(self.fusion_like, 0)
        with torch.set_grad_enabled(torch.is_grad_enabled() and len(found) > 1):
            log_p = [_log_probabilities(*one) for one in found]
        with torch.no_grad():
            scores = (torch.stack(log_p) + log_w[:, None, None]).exp().sum(0)
        if targets is None:
            return Judged(scores, None)
        if len(found) > 1:
            return Judged(scores, mixture_loss(log_p, log_w, targets, self.class_weights))
        ((stream, output, lengths),) = found
        if stream.per_frame and stream.pool.consensus == "frames":
            each = cross_entropy(output, _repeated(targets, lengths), self.class_weights)
            return Judged(scores, mean_over_frames(each[:, None], lengths)[:, 0])
        output = mean_over_frames(output, lengths) if stream.per_frame else output
        return Judged(scores, cross_entropy(output, targets, self.class_weights))

    def _margins(self, found: list[tuple[Stream, Tensor, list[int]]], targets: Tensor | None) -> Judged:
        means = [mean_over_frames(output, lengths) if stream.per_frame else output for stream, output, lengths in found]
        fused = (torch.stack(means) * self.stream_weights[:, None, None]).sum(0) if len(found) > 1 else means[0]
        if targets is None:
            return Judged(fused.detach(), None)
        stream, output, lengths = found[0]
        if len(found) == 1 and stream.per_frame and stream.pool.consensus == "frames":
            each = hinge(output, _repeated(targets, lengths), self.class_weights)
            return Judged(fused.detach(), mean_over_frames(each[:, None], lengths)[:, 0])
        return Judged(fused.detach(), hinge(fused, targets, self.class_weights))


def _log_probabilities(stream: Stream, output: Tensor, lengths: list[int]) -> Tensor:
    if not stream.per_frame:
        return functional.log_softmax(output, dim=1)
    if stream.pool.consensus == "frames":
        return log_mean_softmax(output, lengths)
    return functional.log_softmax(mean_over_frames(output, lengths), dim=1)


def _repeated(targets: Tensor, lengths: list[int]) -> Tensor:
    """The target of every frame's video."""
    return targets.repeat_interleave(torch.tensor(lengths, dtype=torch.int64, device=targets.device), dim=0)
