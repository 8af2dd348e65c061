"""What an Item refuses, in words."""

from pathlib import Path

import pytest

from vidfeat.datasets.items import Item
from vidfeat.errors import UsageError


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"start": float("nan")}, r"start is nan; it must be a finite number of seconds, 0 or more"),
        ({"end": float("inf")}, r"end is inf; it must be a finite number"),
        ({"start": -0.5}, r"start is -0.5; it must be"),
        ({"start": 2.0, "end": 2.0}, r"start is 2.0 and end is 2.0; \[start, end\) must not be empty: start < end"),
        ({"end": 0.0}, r"start is 0.0 and end is 0.0; "),
        ({"labels": ("",)}, r"label '' is not allowed"),
        ({"labels": ("a|b",)}, r"label 'a\|b' is not allowed.*no '\|' \(it joins several labels\)"),
        ({"labels": (" a",)}, r"label ' a' is not allowed.*no spaces around it"),
        ({"labels": ("a", "b", "a")}, r"the labels 'a\|b\|a' name one label twice"),
        ({"splits": {"split2": "dev"}}, r"split2 is 'dev'; allowed are train, val, test, or an empty field"),
    ],
)
def test_refused_values(fields, words):
    with pytest.raises(UsageError, match=words):
        Item("a", Path("a.mp4"), **fields)


def test_open_ranges_and_hash():
    item = Item("a", Path("a.mp4"), start=3.0, labels=("walk", "run"), splits={"split": "train"})
    assert item.end is None and hash(item) == hash(Item("a", Path("a.mp4"), start=3.0, labels=("walk", "run")))
