"""The videos of one step, and how their frames are packed for the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vidfeat.errors import UsageError
from vidfeat.networks.keyed import frame_keys, video_key


class Clip(Protocol):
    """The frames of one video: a tensor, or anything that gives one for a slice."""

    def __len__(self) -> int: ...

    def __getitem__(self, frames: slice) -> Tensor:
        """uint8 (or normalised numbers) ``[n, C, h, w]``; float ``[n, D]`` where vectors come from a file."""


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
