"""Several processes that train one network: each takes a part of every step's videos.

Gradients are summed after both passes, and every process takes the same optimiser step. A video weighs 1/(videos of the
step) wherever it is, so that neither the number of processes nor ragged shares change the result.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from vidfeat.errors import UsageError

# Numbers sent together: few messages, and little memory beside the gradients.
_BUCKET = 1 << 23
_TIMEOUT = timedelta(minutes=30)
_ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class World:
    """The processes of a run, and this one among them.

    Attributes:
        device: of this process.
        rank: its number, 0…size − 1.
        size: how many there are.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @classmethod
    def single(cls, device: str | torch.device = "cpu") -> "World":
        """One process on its own."""
        return cls(torch.device(device))

    @classmethod
    def from_env(cls, device: str = "auto") -> "World":
        """Join the processes that ``torchrun`` started; a single one where it did not.

        On GPUs (NCCL) process LOCAL_RANK takes the GPU of that number; on CPUs (gloo) there is nothing to choose.
        """
        kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        if "RANK" not in os.environ:
            return cls.single(kind)
        missing = [name for name in _ENVIRONMENT if name not in os.environ]
        if missing:
            raise UsageError(
                f"RANK is set but {', '.join(missing)} is not: several processes are started by "
                "'torchrun --nproc-per-node N -m vidfeat …'; unset RANK for one process."
            )
        if kind.startswith("cuda"):
            local = int(os.environ.get("LOCAL_RANK", "0"))
            if local >= torch.cuda.device_count():
                raise UsageError(
                    f"process {local} of this machine has no GPU: there are {torch.cuda.device_count()}. Start as many "
                    "processes as there are GPUs (torchrun --nproc-per-node)."
                )
            kind = f"cuda:{local}"
            torch.cuda.set_device(local)
        backend = "nccl" if kind.startswith("cuda") else "gloo"
        if not distributed.is_initialized():
            distributed.init_process_group(backend, timeout=_TIMEOUT)
        return cls(torch.device(kind), distributed.get_rank(), distributed.get_world_size())

    def leave(self) -> None:
        """End the communication; nothing for a single process."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    def sums(self, values: Sequence[float]) -> list[float]:
        """Σ over processes of some numbers."""
        if self.size == 1:
            return [float(value) for value in values]
        together = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        distributed.all_reduce(together)
        return together.tolist()

    def sum_tensor(self, value: Tensor) -> Tensor:
        """Σ over processes of a tensor of the same shape in all."""
        if self.size > 1:
            value = value.to(self.device)
            distributed.all_reduce(value)
        return value

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over processes; one that a process does not have counts as zero there."""
        if self.size == 1:
            return
        trained = [value for value in parameters if value.requires_grad]
        for value in trained:
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        for bucket in _buckets(trained):
            flat = torch.cat([value.grad.reshape(-1) for value in bucket])
            distributed.all_reduce(flat)
            for value, summed in zip(bucket, flat.split([value.numel() for value in bucket]), strict=True):
                value.grad.copy_(summed.view_as(value))

    def agree(self, model: nn.Module) -> None:
        """Give every process the parameters and statistics of process 0."""
        if self.size == 1:
            return
        with torch.no_grad():
            for value in [*model.parameters(), *model.buffers()]:
                contiguous = value.detach().contiguous()
                distributed.broadcast(contiguous, 0)
                value.copy_(contiguous)


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterable[list[nn.Parameter]]:
    """Parameters of one type together, as many as make a message."""
    bucket: list[nn.Parameter] = []
    size = 0
    for value in parameters:
        if bucket and (size + value.numel() > _BUCKET or value.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(value)
        size += value.numel()
    if bucket:
        yield bucket
