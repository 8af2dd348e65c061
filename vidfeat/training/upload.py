"""Frames on their way from clips to the device, one chunk ahead of the network."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from vidfeat.training.batch import Chunk, Clip, frames_of
from vidfeat.training.memory import free_memory

# Bytes of frames that stay for the second pass: reading, cropping and sending them again is then saved.
_MOST = 1 << 28
_SHARE = 0.1  # of a GPU's free memory


class Uploads:
    """Gives the frames of chunks.

    Args:
        device: where to.
        ahead: whether a thread prepares the next chunk while the caller works on this one; by default on a GPU, where
            page-locked copies then overlap with kernels.
        most: bytes of frames that are kept until :meth:`forget`.
    """

    def __init__(self, device: torch.device, ahead: bool | None = None, most: int | None = None):
        self.device = device
        cuda = device.type == "cuda"
        self._thread = ThreadPoolExecutor(1, "vidfeat-frames") if (cuda if ahead is None else ahead) else None
        self._stream = torch.cuda.Stream(device) if cuda else None
        self._most = most if most is not None else int(free_memory(device) * _SHARE) if cuda else _MOST
        self._kept: dict[tuple, tuple[Tensor, torch.cuda.Event | None]] = {}
        self._bytes = 0

    def frames(self, stream: str, chunks: Sequence[Chunk], clips: Sequence[Clip]) -> Iterator[tuple[Chunk, Tensor]]:
        """(chunk, its frames on the device), one after the other."""
        if self._thread is None:
            for chunk in chunks:
                yield chunk, self._ready(stream, chunk, clips)[0]
            return
        coming = [self._thread.submit(self._ready, stream, chunk, clips) for chunk in chunks[:1]]
        for number, chunk in enumerate(chunks):
            frames, copied = coming.pop().result()
            if number + 1 < len(chunks):
                coming.append(self._thread.submit(self._ready, stream, chunks[number + 1], clips))
            if copied is not None:
                computing = torch.cuda.current_stream(self.device)
                computing.wait_event(copied)
                frames.record_stream(computing)
            yield chunk, frames

    def forget(self) -> None:
        """Let go of the frames that were kept: the next batch has others."""
        if self._thread is not None:
            self._thread.submit(self._kept.clear).result()
        self._kept.clear()
        self._bytes = 0

    def _ready(self, stream: str, chunk: Chunk, clips: Sequence[Clip]) -> tuple[Tensor, "torch.cuda.Event | None"]:
        key = (stream, *chunk)
        if key not in self._kept:
            found = self._sent(frames_of(chunk, clips))
            size = found[0].numel() * found[0].element_size()
            if self._bytes + size > self._most:
                return found
            self._kept[key] = found
            self._bytes += size
        return self._kept[key]

    def _sent(self, frames: Tensor) -> tuple[Tensor, "torch.cuda.Event | None"]:
        if self._stream is None:
            return frames.to(self.device), None
        locked = frames if frames.is_pinned() else frames.pin_memory()
        with torch.cuda.stream(self._stream):
            sent = locked.to(self.device, non_blocking=True)
            return sent, self._stream.record_event()
