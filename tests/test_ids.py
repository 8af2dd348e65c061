"""Every refused id with its message, and the odd ones that are fine."""

import pytest

from vidfeat.errors import UsageError
from vidfeat.ids import check_id, check_ids

WAY_OUT = r"Name the item yourself in a manifest \(CSV with header id,path\)\.$"


@pytest.mark.parametrize(
    ("item_id", "words"),
    [
        ("", r"An item has an empty id\. "),
        ("a\0b", r"Item id 'a\\x00b' contains a NUL character, which HDF5 names cannot hold\. "),
        ("caf\udce9.mp4", r"Item id 'caf\\udce9.mp4' is not valid UTF-8, so it cannot name an HDF5 group\. "),
        ("/a", r"Item id '/a' has a leading or trailing slash\. "),
        ("a/", r"Item id 'a/' has a leading or trailing slash\. "),
        ("/", r"Item id '/' has a leading or trailing slash\. "),
        ("a//b", r"Item id 'a//b' has the component ''; allowed are non-empty names other than '\.' and '\.\.'\. "),
        (".", r"Item id '\.' has the component '\.'; "),
        ("..", r"Item id '\.\.' has the component '\.\.'; "),
        ("a/./b", r"Item id 'a/\./b' has the component '\.'; "),
        ("a/../b", r"Item id 'a/\.\./b' has the component '\.\.'; "),
        ("../a", r"has the component '\.\.'; "),
        ("a/..", r"has the component '\.\.'; "),
    ],
)
def test_refused(item_id, words):
    with pytest.raises(UsageError, match=words + r".*" + WAY_OUT):
        check_id(item_id)
    with pytest.raises(UsageError, match=words):
        check_ids(["fine", item_id])


@pytest.mark.parametrize(
    "item_id", ["a b.mp4", "'a' \"b\"", "#1", "-x", "é/漢", "...", ".hidden", "a..b", "a\\b", "a\nb", " "]
)
def test_odd_but_fine(item_id):
    assert check_id(item_id) == item_id


def test_duplicates():
    with pytest.raises(UsageError, match=r"Item id 'a/b' occurs twice\. Ids must be unique.*manifest"):
        check_ids(["a/b", "c", "a/b"])


@pytest.mark.parametrize("ids", [["a", "a/b"], ["a/b", "a"], ["a", "a-b", "a.c", "a/b"], ["a/b/c/d", "a/b/x", "a"]])
def test_an_id_inside_another(ids):
    """'a-b' and 'a.c' sort between 'a' and 'a/b': neighbours alone would not show the clash."""
    with pytest.raises(
        UsageError, match=r"Item id 'a' is a path prefix of item id 'a/b[/cd]*': one name cannot be both an item and"
    ):
        check_ids(ids)


def test_common_beginnings_are_no_prefix_and_the_result_is_sorted():
    assert check_ids(iter(["ab/c", "a", "ab.mp4", "abc"])) == ["a", "ab.mp4", "ab/c", "abc"]
    assert check_ids([]) == []


def test_many_ids():
    assert len(check_ids(f"c{i % 100}/v{i}" for i in range(100_000))) == 100_000
