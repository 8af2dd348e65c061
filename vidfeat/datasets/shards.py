"""Which part of a sorted list one job of many takes."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vidfeat.errors import UsageError

_SPEC = re.compile(r"(\d+|slurm)/(\d+)", re.ASCII)


class Shard(NamedTuple):
    """Part ``index`` of ``count``, and the ids in it (none, if there are more parts than ids)."""

    index: int
    count: int
    ids: list[str]


def select_shard(ids: Sequence[str], spec: str, env: Mapping[str, str] | None = None) -> Shard:
    """Take every ``n``-th id of the sorted list, from position ``i``: ``ids[i::n]``.

    Position in the sorted list makes the parts reproducible, disjoint and complete without any coordination; taking
    turns, instead of blocks, spreads a folder of long videos over all jobs. ``spec`` is ``i/n`` with 0 ≤ i < n, or
    ``slurm/n``: then i is SLURM_ARRAY_TASK_ID, else SLURM_PROCID, of ``env`` (the process's environment if None). n
    always comes from the flag: a resubmitted ``--array=3,7`` has only two tasks but still belongs to n parts.

    Raises UsageError for another form, n = 0, i outside 0…n-1, or no task number in the environment.
    """
    match = _SPEC.fullmatch(spec)
    if not match or int(match[2]) == 0:
        raise UsageError(
            f"Shard {spec!r} is not allowed: write i/n with 0 <= i < n, e.g. 0/16, or slurm/n, e.g. slurm/16."
        )
    count = int(match[2])
    index, origin = (
        _slurm_index(spec, os.environ if env is None else env) if match[1] == "slurm" else (int(match[1]), "i")
    )
    if index >= count:
        raise UsageError(
            f"Shard {spec!r}: {origin} is {index}, but i counts from 0 to {count - 1} for n = {count}"
            f"{f'; submit with --array=0-{count - 1}' if 'ARRAY' in origin else ''}."
        )
    return Shard(index, count, sorted(ids)[index::count])


def _slurm_index(spec: str, env: Mapping[str, str]) -> tuple[int, str]:
    for variable in ("SLURM_ARRAY_TASK_ID", "SLURM_PROCID"):
        value = env.get(variable)
        if value is None:
            continue
        if not re.fullmatch(r"\d+", value, re.ASCII):
            raise UsageError(f"Shard {spec!r}: {variable} is {value!r}; it must be a whole number from 0.")
        return int(value), variable
    raise UsageError(
        f"Shard {spec!r}: neither SLURM_ARRAY_TASK_ID nor SLURM_PROCID is set; run it in a Slurm job array or under "
        "srun, or write i/n."
    )
