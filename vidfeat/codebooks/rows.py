"""Samples of any float type and size as float32 blocks of rows, and the threads that work through the blocks."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from vidfeat.crew import Run, crew
from vidfeat.errors import UsageError
from vidfeat.precision import arithmetic

Span = tuple[int, int]

# Numbers of a block and of what is computed from it. CPU: 1 MB of float32, which stays in the second-level cache of a
# core from the matrix product to what reads its result.
BLOCK_NUMBERS = {"cpu": 1 << 18, "cuda": 1 << 27}
MOST_ROWS = {"cpu": 2048, "cuda": 1 << 18}
# Sums are taken over parts of the rows, then over the parts in order; parts depend on sizes only, so that results are
# the same for any number of threads. Enough of them to keep threads busy, not so many that their sums fill the memory.
_PARTS = 64
_PART_BYTES = 1 << 28
# Squared norms, and products of two such vectors, stay far below the largest float32.
_LARGEST = 1e17


class Rows:
    """Samples ``[n, d]`` read in float32 blocks on a device.

    samples: a NumPy array (also a memmap) or torch tensor; float16, bfloat16, float32 or float64. A GPU gets all of
    them once if they fit into half of its free memory, else block by block in every pass.
    """

    compiled = True  # tests run what a GPU runs on a CPU, too

    def __init__(self, samples, device: torch.device, name: str = "samples"):
        self.samples = _checked(samples, name)
        self.n, self.d = samples.shape
        self.device, self.name = device, name
        if device.type == "cuda" and 4 * self.n * self.d <= torch.cuda.mem_get_info(device)[0] // 2:
            whole = torch.empty(self.n, self.d, device=device)
            for start, stop in self.spans(self.d):
                whole[start:stop] = self.block(start, stop)
            self.samples = whole

    @property
    def is_compiled(self) -> bool:
        """Whether compiled functions take the blocks, else torch."""
        return self.compiled and self.device.type == "cpu"

    def block(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop) as contiguous float32; a view where they are just that."""
        return self._tensor(self.samples[start:stop])

    def take(self, index: np.ndarray) -> Tensor:
        """The rows with these numbers, float32."""
        if isinstance(self.samples, Tensor):
            return self._tensor(self.samples[torch.from_numpy(index).to(self.samples.device)])
        return self._tensor(self.samples[index])

    def spans(self, numbers: int) -> list[Span]:
        """The rows in blocks, of each of which ``numbers`` numbers per row are in use at a time."""
        kind = self.device.type
        rows = BLOCK_NUMBERS[kind] // numbers
        rows = max(1, min(rows // 16 * 16 or rows, MOST_ROWS[kind]))
        return [(start, min(start + rows, self.n)) for start in range(0, self.n, rows)]

    def parts(self, numbers: int, sums: int = 0) -> list[list[Span]]:
        """Those blocks in successive groups, each for one thread at a time, where a group has ``sums`` float64 sums."""
        spans = self.spans(numbers)
        parts = min(_PARTS, len(spans))
        if sums:
            # A group should have many more numbers than sums, as these are cleared and added up for each.
            parts = min(parts, self.n * self.d // (16 * sums), _PART_BYTES // (8 * sums))
        parts = max(1, parts if self.device.type == "cpu" else 1)
        edges = [len(spans) * part // parts for part in range(parts + 1)]
        return [spans[first:last] for first, last in pairwise(edges)]

    def mean_and_variance(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """Of every dimension over all rows, float64 ``[d]``; UsageError where a row cannot be used."""
        first, second = np.zeros(self.d), np.zeros(self.d)
        for part_first, part_second in run(self._sums, self.parts(3 * self.d, 2 * self.d)):
            first += part_first
            second += part_second
        if not np.isfinite(second).all():
            raise self.not_finite()
        largest = np.sqrt(second.sum())
        if largest > _LARGEST:  # a bound on the norm of every row
            raise UsageError(
                f"The {self.name} are too large: √Σ‖x‖² is {largest:.1e}, allowed is {_LARGEST:.0e}. Scale them down."
            )
        mean = first / self.n
        variance = np.maximum(second / self.n - mean**2, 0.0)
        # What rounding leaves of a constant is no variance.
        return mean, np.where(variance > 1e-14 * mean**2, variance, 0.0)

    def _sums(self, spans: list[Span]) -> tuple[np.ndarray, np.ndarray]:
        """Σ x and Σ x² per dimension."""
        if self.is_compiled:
            from vidfeat.codebooks.kmeans_kernels import add_moments

            first, second = np.zeros(self.d), np.zeros(self.d)
            for start, stop in spans:
                add_moments(self.block(start, stop).numpy(), first, second)
            return first, second
        sums = torch.zeros(2, self.d, dtype=torch.float64, device=self.device)
        for start, stop in spans:
            block = self.block(start, stop).double()
            sums[0] += block.sum(dim=0)
            sums[1] += block.square_().sum(dim=0)
        return tuple(sums.cpu().numpy())

    def not_finite(self) -> UsageError:
        for start, stop in self.spans(self.d):
            finite = torch.isfinite(self.block(start, stop)).all(dim=1)
            if not finite.all():
                return not_finite(start + int((~finite).nonzero()[0]), self.name)
        return UsageError(f"The {self.name} hold NaN or infinite values; only finite numbers are allowed.")

    def _tensor(self, rows) -> Tensor:
        if isinstance(rows, np.ndarray):
            with np.errstate(over="ignore"):  # infinite numbers are refused later, with the number of their row
                rows = np.ascontiguousarray(rows, dtype=np.float32)
            rows = torch.from_numpy(rows if rows.flags.writeable else rows.copy())  # torch warns of read-only memory
        return rows.detach().to(self.device, torch.float32).contiguous()


@contextmanager
def threads(device: torch.device) -> Iterator[Run]:
    """A function like ``map`` that works on parts in as many threads as torch uses here, in float32 as IEEE has it."""
    with arithmetic("fp32", device), crew(device.type == "cpu") as run:
        yield run


def not_finite(row: int, name: str) -> UsageError:
    return UsageError(
        f"Row {row} of the {name} holds NaN or infinite values (as float32); only finite numbers are allowed. "
        "Leave such rows out."
    )


def _checked(samples, name: str):
    if not isinstance(samples, np.ndarray | Tensor):
        raise UsageError(f"The {name} must be a NumPy array or a torch tensor, not {type(samples).__name__}.")
    kind = samples.dtype.name if isinstance(samples, np.ndarray) else str(samples.dtype).removeprefix("torch.")
    if kind not in ("float16", "bfloat16", "float32", "float64"):
        raise UsageError(f"The {name} are {kind}; allowed are float16, bfloat16, float32 and float64. Convert them.")
    if samples.ndim != 2 or 0 in samples.shape:
        raise UsageError(
            f"The {name} have shape {list(samples.shape)}; allowed is [rows, dimensions] with at least one of each."
        )
    return samples
