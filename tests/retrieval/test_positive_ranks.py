"""Ranks of the positives against a full ranking of all pairs."""

import numpy as np
import pytest
import torch
from oracles import retrieval as oracle
from searching import Watched, hard_codes

from vidfeat.errors import UsageError
from vidfeat.retrieval.queries import Query, rows_of
from vidfeat.retrieval.ranks import positive_ranks
from vidfeat.retrieval.rows import Selection, take

CODES = hard_codes()
METRICS = ["l2", "cosine"]


def task(row, positives, ignored):
    return Query(str(row), row, rows_of(positives), rows_of(ignored))


TASKS = [
    task(0, range(1, 20), [0]),
    task(3, [31, 35, 38, 250], [3]),  # among copies of the query and of one another
    task(4, [51, 55, 59, 5], [4, 52]),
    task(7, [300, 8], []),  # zeros, and the query stays
    task(220, [211, 215, 399], [220, 212]),
    task(399, [], [399]),
    task(10, [10, 11], []),
]


def expected(metric):
    for own in TASKS:
        order = [row for _, row in oracle.ranking(CODES[own.row], CODES, metric, set(own.ignored.tolist()))]
        yield sorted(order.index(row) for row in own.positives)


def ranks(metric, **options):
    queries = CODES[[own.row for own in TASKS]]
    return [own.tolist() for own in positive_ranks(queries, CODES, TASKS, metric, **options)]


@pytest.mark.parametrize("metric", METRICS)
def test_ranks_are_those_of_the_full_ranking(metric):
    assert ranks(metric) == list(expected(metric))


@pytest.mark.parametrize("metric", METRICS)
def test_neither_blocks_nor_memory_matter(metric):
    for options in ({"block_rows": 1}, {"block_rows": 37}, {"memory": 1}, {"memory": 8 * 400 * 3, "block_rows": 100}):
        assert ranks(metric, **options) == list(expected(metric))


@pytest.mark.parametrize("metric", METRICS)
def test_many_positives_are_counted_alike(metric, monkeypatch):
    monkeypatch.setattr("vidfeat.retrieval.ranks._FEW", 0)
    assert ranks(metric) == list(expected(metric))


def test_the_database_is_read_in_blocks():
    """And as often as memory asks for: here twice, for 30 and 20 queries."""
    database = Watched((20_000, 16))
    queries = database[100:150]
    tasks = [task(row, [row, row + 1], []) for row in range(100, 150)]
    database.reads.clear()
    found = list(positive_ranks(queries, database, tasks, memory=8 * 20_000 * 30, block_rows=500))
    assert database.reads == [500] * 80
    assert all(own[0] == 0 for own in found)


def test_a_view_of_some_rows_reads_little_more():
    database = Watched((1_000_000, 256))
    rows = np.array([7, 999_999, 8, 500_000, 7])
    found = take(database, rows)
    assert sorted(database.reads) == [1, 1, 2]
    assert (found == np.concatenate([database[row : row + 1] for row in rows])).all()
    database.reads.clear()
    view = Selection(database, np.arange(0, 1_000_000, 2))
    assert view.shape == (500_000, 256)
    assert view[1000:51_000].shape == (50_000, 256)
    assert 4 * 256 * max(database.reads) <= 1 << 24
    assert view[3:3].shape == (0, 256)


def test_wrong_shapes_are_refused():
    with pytest.raises(UsageError, match="encode them in the same way"):
        list(positive_ranks(CODES[:, :3], CODES, TASKS))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("metric", METRICS)
def test_a_gpu_gives_the_same_ranks(metric):
    assert ranks(metric, device="cuda") == ranks(metric)
