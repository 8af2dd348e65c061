"""Shards: a partition of the sorted list, and the words for every wrong request."""

import pytest

from vidfeat.datasets.shards import select_shard
from vidfeat.errors import UsageError

IDS = [f"v{i:02d}" for i in range(10)]


@pytest.mark.parametrize("count", [1, 2, 3, 10, 13])
def test_shards_partition_the_sorted_list_evenly(count):
    shards = [select_shard(IDS[::-1], f"{i}/{count}", {}) for i in range(count)]
    assert sorted(item_id for shard in shards for item_id in shard.ids) == IDS
    assert {len(shard.ids) for shard in shards} <= {10 // count, -(-10 // count)}
    assert [(shard.index, shard.count) for shard in shards] == [(i, count) for i in range(count)]
    assert all(shard.ids == IDS[shard.index :: count] for shard in shards)


def test_slurm_variables():
    array = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_PROCID": "1", "SLURM_ARRAY_TASK_COUNT": "2"}
    assert select_shard(IDS, "slurm/4", array) == (3, 4, ["v03", "v07"])
    assert select_shard(IDS, "slurm/4", {"SLURM_PROCID": "1"}).index == 1
    assert select_shard(IDS, "2/4", array).index == 2


def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    assert select_shard(IDS, "slurm/2").index == 0


@pytest.mark.parametrize(
    "spec", ["", "1", "1/", "/2", "-1/2", "1/0", "a/2", "1/2/3", "1 / 2", "Slurm/2", "½/2", "1.0/2"]
)
def test_form(spec):
    with pytest.raises(UsageError, match=r"Shard .* is not allowed: write i/n with 0 <= i < n, e.g. 0/16, or slurm/n"):
        select_shard(IDS, spec, {})


@pytest.mark.parametrize(
    ("spec", "env", "words"),
    [
        ("4/4", {}, r"Shard '4/4': i is 4, but i counts from 0 to 3 for n = 4\.$"),
        ("slurm/4", {"SLURM_ARRAY_TASK_ID": "4"}, r"SLURM_ARRAY_TASK_ID is 4, but i counts from 0 to 3.*--array=0-3"),
        ("slurm/4", {"SLURM_PROCID": "9"}, r"SLURM_PROCID is 9, but i counts from 0 to 3 for n = 4\.$"),
        ("slurm/4", {"SLURM_PROCID": "x"}, r"SLURM_PROCID is 'x'; it must be a whole number from 0"),
        ("slurm/4", {}, r"neither SLURM_ARRAY_TASK_ID nor SLURM_PROCID is set; .*or write i/n"),
    ],
)
def test_task_number(spec, env, words):
    with pytest.raises(UsageError, match=words):
        select_shard(IDS, spec, env)
