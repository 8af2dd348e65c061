"""Options shared by the commands that fill a features file: which devices work, and how a run is resumed or split."""

from dataclasses import dataclass
from typing import Literal

from vidfeat.stages.config.options import check_positive, option

FILES = "Files and runs"
SPEED = "Speed"


@dataclass(frozen=True)
class RunOptions:
    """How the work is done, and what becomes of the file; none of this changes a number."""

    device: str = option(
        "auto",
        "cpu, cuda:0, or a list such as cuda:0,cuda:1 (one process each). auto = every visible GPU, else the CPU.",
        panel=SPEED,
    )
    batch_size: int | None = option(
        None,
        "Frames in one pass through a network; for 'vidfeat flow' pairs of frames in one call. By default chosen for "
        "what is computed, and where.",
        panel=SPEED,
    )
    workers: int | None = option(
        None, "Decoding threads per device. By default chosen from the number of cores.", panel=SPEED
    )
    threads: int | None = option(None, "CPU threads that compute. By default all cores.", panel=SPEED)
    decode_threads: int = option(1, "Threads inside each video decoder.", panel=SPEED)

    overwrite: bool = option(False, "Discard what OUTPUT and its parts hold, and start anew.", panel=FILES)
    strict: bool = option(False, "Count a truncated video as failed instead of keeping it with a warning.", panel=FILES)
    shard: str | None = option(
        None, "i/n, 0 <= i < n, or slurm/n: only this share of the items.", metavar="I/N", panel=FILES
    )
    no_merge: bool = option(False, "Leave the parts as they are; OUTPUT becomes a file of links to them.", panel=FILES)
    compression: Literal["none", "gzip"] = option("none", "Compression of what is stored.", panel=FILES)
    dry_run: bool = option(False, "Say what would be done (items, frames, bytes), and do nothing.", panel=FILES)

    def check_run(self) -> None:
        """UsageError for a number that cannot be."""
        check_positive(self, "batch_size", "workers", "threads", "decode_threads")
