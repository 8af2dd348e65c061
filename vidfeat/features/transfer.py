"""Results of a batch on their way from the device to NumPy."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass
class Pending:
    """A submitted batch.

    On a GPU the kernels and copies may still run; ``result`` waits for them.
    """

    values: dict[str, torch.Tensor]
    copied: "torch.cuda.Event | None" = None
    # The source of a copy in flight must outlive it.
    pixels: torch.Tensor | None = None

    def result(self) -> dict[str, np.ndarray]:
        """Layer name -> array [N, …] in the stored type. The arrays belong to the caller."""
        if self.copied is not None:
            self.copied.synchronize()
            self.copied = self.pixels = None
        return {name: value.numpy() for name, value in self.values.items()}


class CudaLane:
    """Copies to and from one GPU beside its kernels: uploads, kernels and downloads have a stream each."""

    def __init__(self, device: torch.device):
        self.device = device
        self.upload = torch.cuda.Stream(device)
        self.download = torch.cuda.Stream(device)

    def send(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(pixels on the GPU, page-locked pixels to keep until they are copied); kernels will wait for the copy."""
        source = pixels if pixels.is_pinned() else pixels.pin_memory()
        compute = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.upload):
            sent = source.to(self.device, non_blocking=True)
        compute.wait_stream(self.upload)
        sent.record_stream(compute)
        return sent, source

    def receive(self, values: dict[str, torch.Tensor], pixels: torch.Tensor) -> Pending:
        """Start copying to page-locked memory of the host; torch keeps and reuses such memory."""
        self.download.wait_stream(torch.cuda.current_stream(self.device))
        host = {}
        with torch.cuda.stream(self.download):
            for name, value in values.items():
                host[name] = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
                host[name].copy_(value, non_blocking=True)
                value.record_stream(self.download)
            copied = self.download.record_event()
        return Pending(host, copied, pixels)
