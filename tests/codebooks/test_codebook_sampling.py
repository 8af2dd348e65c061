import importlib
import pkgutil

import numpy as np
import pytest

from vidfeat import codebooks
from vidfeat.codebooks import choose_rows, shares
from vidfeat.errors import UsageError


@pytest.mark.parametrize("total", [1, 7, 100, 549, 550, 10**6])
def test_shares_are_in_proportion_and_add_up(total):
    counts = [0, 100, 1, 250, 3, 196]
    wanted = shares(counts, total)
    assert sum(wanted) == min(total, sum(counts))
    assert all(0 <= share <= count for share, count in zip(wanted, counts, strict=True))
    exact = [min(total, 550) * count / 550 for count in counts]
    assert all(abs(share - quotient) < 1 for share, quotient in zip(wanted, exact, strict=True))


def test_shares_of_equal_items():
    assert shares([5, 5, 5], 7) == [3, 2, 2]
    assert shares([3, 3], 4) == [2, 2]
    assert shares([], 4) == []
    assert shares(np.array([2**40, 2**40]), 2**40 + 1) == [2**39 + 1, 2**39]


def test_rows_are_chosen_by_seed_and_id():
    rows = choose_rows("clips/a", 1000, 100, 0)
    assert rows.dtype == np.int64 and len(rows) == 100
    assert (np.diff(rows) > 0).all() and rows[0] >= 0 and rows[-1] < 1000
    assert rows.tolist() == choose_rows("clips/a", 1000, 100, 0).tolist()
    assert rows.tolist() != choose_rows("clips/b", 1000, 100, 0).tolist()
    assert rows.tolist() != choose_rows("clips/a", 1000, 100, 1).tolist()
    assert set(choose_rows("clips/a", 1000, 30, 0)) < set(rows)


def test_the_choice_stays_the_same_in_later_versions():
    assert choose_rows("video ü", 50, 6, 3).tolist() == [6, 9, 21, 24, 43, 48]


def test_every_row_has_the_same_chance():
    drawn = np.concatenate([choose_rows(f"item {number}", 20, 5, 0) for number in range(4000)])
    frequency = np.bincount(drawn, minlength=20) / 4000
    # 5 of 20 rows: 1/4 with a deviation of √(0.25 · 0.75 / 4000) = 0.007
    assert np.abs(frequency - 0.25).max() < 4 * 0.007


def test_all_rows_and_none():
    assert choose_rows("a", 4, 4, 0).tolist() == [0, 1, 2, 3]
    assert choose_rows("a", 4, 0, 0).tolist() == []
    assert choose_rows("a", 0, 0, 0).dtype == np.int64


def test_errors():
    with pytest.raises(UsageError, match="5 rows of item 'a' were asked for, which has 4; ask for 0 to 4"):
        choose_rows("a", 4, 5, 0)
    with pytest.raises(UsageError, match="-1 rows of item 'a'"):
        choose_rows("a", 4, -1, 0)
    with pytest.raises(UsageError, match="A sample of 0 rows is not allowed; ask for at least 1"):
        shares([4], 0)
    with pytest.raises(UsageError, match="An item has -3 rows; counts must be ≥ 0"):
        shares([4, -3], 2)


def test_no_module_takes_the_place_of_a_name():
    modules = {module.name for module in pkgutil.iter_modules(codebooks.__path__)}
    assert not modules & set(codebooks.__all__)
    for module in modules:
        importlib.import_module(f"vidfeat.codebooks.{module}")
    assert all(callable(getattr(codebooks, name)) for name in codebooks.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'words'"):
        codebooks.words  # noqa: B018
