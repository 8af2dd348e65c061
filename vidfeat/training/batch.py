"""The videos of one step, and how their frames are packed for the network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vidfeat.errors import UsageError
from vidfeat.networks.keyed import frame_keys, video_key
from vidfeat.networks.pools import Pooling


class Clip(Protocol):
    """The frames of one video: a tensor, or anything that gives one for a slice."""

    def __len__(self) -> int: ...

    def __getitem__(self, frames: slice) -> Tensor:
        """uint8 (or normalised numbers) ``[n, C, h, w]``; float ``[n, D]`` where vectors come from a file."""


class StoredVectors:
    """The frame vectors of a video from a file: a clip that is the same in every epoch.

    So what a pooling makes of them before its first parameter is computed once, and takes their place in memory. Each
    video is reduced on its own: which others it meets first, in a run that was resumed too, changes no bit.

    Args:
        read: gives them, finite floats ``[T, D]``; called at once, and again if they are needed after all.
        freed: told by how many bytes the clip has become smaller.
    """

    def __init__(self, read: Callable[[], Tensor], freed: Callable[[int], None] = lambda size: None):
        self._read, self._freed = read, freed
        self._vectors: Tensor | None = read()
        self._length = len(self._vectors)
        self._pool: Pooling | None = None
        self._kept = torch.empty(0)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, frames: slice) -> Tensor:
        return (self._read() if self._vectors is None else self._vectors)[frames]

    @property
    def nbytes(self) -> int:
        return self._kept.nbytes + (0 if self._vectors is None else self._vectors.nbytes)

    def reduced(self, pool: Pooling, like: Tensor) -> Tensor:
        """``pool.reduce`` of this video alone, without the axis of videos; with the type and device of ``like``."""
        if self._pool is not pool:
            before = self.nbytes
            x = given([self], pool.features, like)
            with torch.no_grad():
                self._kept = pool.reduce(x, [len(x)])[0].cpu()
            self._pool, self._vectors = pool, None
            self._freed(before - self.nbytes)
        return self._kept.to(like.device, like.dtype)


def given(clips: Sequence[Clip], features: int, like: Tensor) -> Tensor:
    """Frame vectors from a file, one video after the other ``[ΣT, D]``, with the type and device of ``like``."""
    parts = [torch.as_tensor(clip[:]) for clip in clips]
    wrong = [part for part in parts if part.ndim != 2 or part.shape[1] != features]
    if wrong:
        raise UsageError(
            f"a video's frame vectors have shape {list(wrong[0].shape)}; this network was made for [T, {features}]."
        )
    together = parts[0] if len(parts) == 1 else torch.cat([*parts, torch.empty(0, features)])
    return together.to(like.device, like.dtype)


@dataclass(frozen=True)
class VideoBatch:
    """The videos of one step in one process; maybe none.

    Attributes:
        ids: of the videos; masks of dropout depend on them.
        numbers: positions of the videos in the caller's list of items.
        clips: stream name -> one clip per video.
        targets: int64 ``[B]``, or 0/1 ``[B, K]``; None for prediction.
        failed: (id, reason) of videos that should have been here and could not be read.
    """

    ids: Sequence[str]
    numbers: Sequence[int]
    clips: Mapping[str, Sequence[Clip]]
    targets: Tensor | None = None
    failed: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        counts = {"ids": len(self.ids), "numbers": len(self.numbers)}
        counts |= {f"clips of {name}": len(clips) for name, clips in self.clips.items()}
        if self.targets is not None:
            counts["targets"] = len(self.targets)
        if len(set(counts.values())) != 1:
            found = ", ".join(f"{count} {name}" for name, count in counts.items())
            raise UsageError(f"a batch of videos has {found}; the numbers must be the same.")
        for name, clips in self.clips.items():
            empty = [item for item, clip in zip(self.ids, clips, strict=True) if not len(clip)]
            if empty:
                raise UsageError(f"video {empty[0]!r} has no frame in stream {name!r}: leave it out of the batch.")

    def __len__(self) -> int:
        return len(self.ids)

    def lengths(self, stream: str) -> list[int]:
        """T of every video."""
        return [len(clip) for clip in self.clips[stream]]


@dataclass(frozen=True)
class Piece:
    """Frames start, start + step, … < stop of one video of a batch."""

    video: int
    start: int
    stop: int
    step: int

    def __len__(self) -> int:
        return len(range(self.start, self.stop, self.step))

    def frames(self) -> Tensor:
        return torch.arange(self.start, self.stop, self.step)


Chunk = list[Piece]


def packed(lengths: Sequence[int], most: int, step: int = 1, first: int = 0) -> list[Chunk]:
    """Frames t ≡ first (mod step) of all videos in chunks of ``most``, the last one smaller; chunks cross videos."""
    chunks: list[Chunk] = []
    room = 0
    for video, length in enumerate(lengths):
        left = range(first, length, step)
        while len(left):
            if room == 0:
                chunks.append([])
                room = most
            part, left = left[:room], left[room:]
            chunks[-1].append(Piece(video, part.start, part[-1] + 1, step))
            room -= len(part)
    return chunks


def rows_of(chunk: Chunk, lengths: Sequence[int]) -> Tensor:
    """The rows of the frames of a chunk in the matrix of all frame vectors ``[ΣT, D]``."""
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    return torch.cat([piece.frames() + starts[piece.video] for piece in chunk])


def frames_of(chunk: Chunk, clips: Sequence[Clip]) -> Tensor:
    """The frames of a chunk, as the clips give them."""
    parts = [clips[piece.video][piece.start : piece.stop : piece.step] for piece in chunk]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class Masks:
    """Keys of dropout masks for the videos of a batch in one epoch."""

    def __init__(self, seed: int, epoch: int, stream: str, ids: Sequence[str]):
        self._videos = torch.tensor([video_key(seed, epoch, stream, item) for item in ids], dtype=torch.int64)

    def of_videos(self) -> Tensor:
        """``[B]``."""
        return self._videos

    def of_frames(self, chunk: Chunk) -> Tensor:
        """For the frames of a chunk, ``[n]``."""
        return torch.cat([frame_keys(int(self._videos[piece.video]), piece.frames()) for piece in chunk])

    def of_all(self, lengths: Sequence[int]) -> Tensor:
        """For all frames, ``[ΣT]``."""
        pieces = [Piece(video, 0, length, 1) for video, length in enumerate(lengths)]
        return self.of_frames(pieces) if pieces else self._videos
