"""Layers that make one vector of all frames of a video, for several videos of any lengths at once.

All take ``x [ΣT, D]``, the frame vectors of the videos one after the other, and ``lengths``, the T of each video, and
give ``[B, dim]``. There may be no video at all. What a layer does before its first parameter is ``reduce``, which need
not be done again for frame vectors that stay the same, and the rest is ``finish``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vidfeat.errors import UsageError
from vidfeat.pooling.moments import average_pool, max_pool
from vidfeat.pooling.preparation import check_choice
from vidfeat.pooling.rank_batch import similar
from vidfeat.pooling.rank_layer import RankPool


def videos_of(x: Tensor, lengths: Sequence[int]) -> tuple[Tensor, ...]:
    """The videos ``[T, D]`` of ``x [ΣT, D]``; UsageError if the lengths do not fit."""
    if x.ndim != 2 or sum(lengths) != len(x) or min(lengths, default=1) < 1:
        raise UsageError(
            f"frame vectors have shape {list(x.shape)} and the videos lengths {list(lengths)}; one row for each frame "
            "is needed, and at least one frame in each video. Leave videos without frames out."
        )
    return x.split(list(lengths))


class Pooling(nn.Module):
    """A pooling of frame vectors; ``dim`` is the length of its result.

    Args:
        features: D, length of the frame vectors.

    Attributes:
        reduces: whether ``reduce`` leaves one value per video.
    """

    reduces = True

    def __init__(self, features: int, dim: int | None = None):
        super().__init__()
        self.features, self.dim = features, features if dim is None else dim

    def forward(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        return self.finish(self.reduce(x, lengths))

    def reduce(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """``[B, …]``: all that no parameter has a part in."""
        videos = videos_of(x, lengths)
        if not videos:
            # Tied to x, so that a process without videos takes part in what the others do in the backward pass.
            return x.new_zeros(0, self.dim) + x.sum()
        return self.pooled(videos)

    def finish(self, reduced: Tensor) -> Tensor:
        """``[B, dim]`` from what ``reduce`` gave."""
        return reduced

    def pooled(self, videos: Sequence[Tensor]) -> Tensor:
        """What ``reduce`` gives for at least one video ``[T, D]``."""
        raise NotImplementedError


class RankPooling(Pooling):
    """u*/‖u*‖ of the videos' frames: :class:`vidfeat.pooling.RankPool`, many videos in step.

    Args:
        features: D.
        options: those of :class:`vidfeat.pooling.RankPool`.
    """

    def __init__(self, features: int, **options):
        layer = RankPool(**options)
        wide = (2 if layer.map == "posneg" else 1) * (2 if layer.direction == "both" else 1)
        super().__init__(features, wide * features)
        self.rank = layer

    def pooled(self, videos: Sequence[Tensor]) -> Tensor:
        return rank_pooled(self.rank, videos)


def rank_pooled(layer: RankPool, videos: Sequence[Tensor]) -> Tensor:
    """``[n, D']``: the layer's result for each of ``videos [T, D]``; those of similar lengths are solved in step."""
    lengths = [len(video) for video in videos]
    order: list[int] = []
    found = []
    for group in similar(lengths, videos[0].shape[1], videos[0].device):
        order += group
        if len(group) == 1:
            found.append(layer(videos[group[0]])[None])
            continue
        padded = nn.utils.rnn.pad_sequence([videos[i] for i in group], batch_first=True)
        found.append(layer(padded, [lengths[i] for i in group]))
    places = torch.tensor(order, device=videos[0].device).argsort()
    return torch.cat(found)[places]


class AveragePooling(Pooling):
    """ψ = (1/T) Σ_t x_t, accumulated in float64."""

    def pooled(self, videos: Sequence[Tensor]) -> Tensor:
        return torch.stack([average_pool(video) for video in videos])


class MaxPooling(Pooling):
    """ψ = max_t x_t; frames that share a maximum share its gradient."""

    def pooled(self, videos: Sequence[Tensor]) -> Tensor:
        return torch.stack([max_pool(video) for video in videos])


CONSENSUS = ("frames", "scores")


class FramePooling(Pooling):
    """No pooling: the classifier judges every frame, and a video has the mean of its frames' scores.

    Args:
        features: D.
        consensus: what is trained. ``frames``: every frame has its video's label; the loss of a video is the mean
            of its frames', its score the mean of their soft-max outputs (cross-entropy) or margins (hinge). ``scores``:
            the mean of the frames' scores before the soft-max, one loss per video, as temporal segment networks have
            it.

    Sources: B. Fernando, S. Gould, *Learning End-to-end Video Classification with Rank-Pooling*, 2016, section 5
    (frame-level fine-tuning); L. Wang et al., *Temporal Segment Networks*, 2016 (segmental consensus).
    """

    reduces = False

    def __init__(self, features: int, consensus: str = "frames"):
        super().__init__(features)
        check_choice("consensus", consensus, CONSENSUS)
        self.consensus = consensus

    def reduce(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """The frames themselves, ``[ΣT, D]``: what the classifier is to judge."""
        videos_of(x, lengths)
        return x


def mean_over_frames(values: Tensor, lengths: Sequence[int]) -> Tensor:
    """Mean over each video of ``values [ΣT, K]``: ``[B, K]``."""
    if not lengths:
        return values.new_zeros(0, *values.shape[1:]) + values.sum()
    return torch.stack([video.mean(0) for video in values.split(list(lengths))])
