import numpy as np
import pytest

from vidfeat.classify import check_disjoint, class_names, indicator
from vidfeat.errors import UsageError


def test_disjoint_parts_pass():
    check_disjoint(["a", "b"], ["c"], ["g1", "g1"], ["g2"])
    check_disjoint(["a"], ["b"])


def test_shared_items_and_groups_are_named():
    with pytest.raises(UsageError, match=r"share 1 item: 'b'. Each item may be in one part only: correct the split"):
        check_disjoint(["a", "b"], ["b", "c"])
    many = [f"v{i}" for i in range(9)]
    with pytest.raises(UsageError, match="share 9 items: 'v0', 'v1', 'v2', 'v3', 'v4', …"):
        check_disjoint(many, many)
    with pytest.raises(UsageError, match="share 1 group: 'cam2'"):
        check_disjoint(["a", "b"], ["c"], ["cam1", "cam2"], ["cam2"])


def test_labels_to_matrix():
    labels = [("run",), ("sit", "run"), ()]
    assert class_names(labels) == ["run", "sit"]
    assert np.array_equal(indicator(labels, ["run", "sit"]), [[1, 0], [1, 1], [0, 0]])
    with pytest.raises(UsageError, match=r"Item 1 has the label 'sit', none of the 1 classes \(run\)"):
        indicator(labels, ["run"])
    with pytest.raises(UsageError, match=r"c7, … \(20 in all\)"):
        indicator([("x",)], [f"c{i}" for i in range(20)])
