"""Manifests: what is read, what is refused and in which words, and the round trip."""

import os
from pathlib import Path

import pytest

from vidfeat.datasets.items import Item
from vidfeat.datasets.manifest import read_manifest, write_manifest
from vidfeat.errors import StorageError, UsageError


@pytest.fixture
def manifest(tmp_path):
    def write(content):
        path = tmp_path / "set.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_all_columns(manifest, tmp_path):
    path = manifest(
        "id,path,start,end,label,group,split1,split_b\n"
        "x/1,videos/a b.mp4,1.5,3,walk | run,g1,train,test\n"
        "x/2,videos/a b.mp4,,,,,,val\n"
    )
    items = read_manifest(path)
    assert items == [
        Item(
            "x/1", tmp_path / "videos/a b.mp4", 1.5, 3.0, ("walk", "run"), "g1", {"split1": "train", "split_b": "test"}
        ),
        Item("x/2", tmp_path / "videos/a b.mp4", None, None, (), "videos/a b.mp4", {"split_b": "val"}),
    ]
    assert items.columns == ("id", "path", "start", "end", "label", "group", "split1", "split_b")
    assert items.split_columns == ("split1", "split_b")


def test_bom_crlf_blank_lines_trailing_spaces_and_column_order(manifest):
    path = manifest("\ufeff\r\nlabel , path,id\r\n\r\nwalk  ,a.mp4 , one \r\n,,\r\nrun,b.mp4,two")
    assert [(item.id, item.labels, item.path.name) for item in read_manifest(path)] == [
        ("one", ("walk",), "a.mp4"),
        ("two", ("run",), "b.mp4"),
    ]


@pytest.mark.parametrize(
    "name", ["#1.avi", "-x.avi", "it's (a) [b] & c; ~@!.avi", '"q".avi', "é 漢.avi", " lead.avi", "a,b.avi"]
)
def test_odd_names_are_ordinary_names(tmp_path, name):
    items = [Item(name, tmp_path / name, group=name)]
    write_manifest(tmp_path / "set.csv", items)
    assert read_manifest(tmp_path / "set.csv") == items


def test_the_path_column_may_hold_any_bytes(manifest):
    """A file name that is not UTF-8 gets a proper id, and a group that can be stored."""
    (item,) = read_manifest(manifest(b"id,path\nproper,caf\xe9.mp4\n"))
    assert os.fsencode(item.path.name) == b"caf\xe9.mp4"
    assert item.group == "caf\\xe9.mp4"


def test_group_is_one_for_all_spellings_of_a_source(manifest, tmp_path):
    path = manifest(f"id,path\na,v/x.mp4\nb,./v/../v/x.mp4\nc,{tmp_path}/v/x.mp4\n")
    assert {item.group for item in read_manifest(path)} == {"v/x.mp4"}
    assert {item.group for item in read_manifest(path, group_root=tmp_path.parent)} == {f"{tmp_path.name}/v/x.mp4"}


def test_labels_alone(manifest):
    path = manifest("id,label\na,walk\nb,\n")
    items = read_manifest(path, need_paths=False)
    assert [(item.path, item.labels, item.group) for item in items] == [(None, ("walk",), ""), (None, (), "")]
    assert "group" not in items.columns
    with pytest.raises(UsageError, match=r"set.csv, line 1: column 'path' is missing; allowed are id, path, start"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", r"set.csv, line 1: column 'id' is missing"),
        ("id,path\n", r"set.csv lists no item: it needs a row per item"),
        (
            "path,label\na,b\n",
            r"line 1: column 'id' is missing; allowed are id, path, start, end, label, group, and one",
        ),
        ("a.mp4,walk\n", r"line 1: unknown column 'a.mp4'; allowed are .*The first line must be a header"),
        ("id;path\na;b\n", r"unknown column 'id;path'; .*fields separated by commas"),
        ("id,path,Label\na,b,c\n", r"unknown column 'Label'; allowed are .*label"),
        ("id,path,split/1\na,b,train\n", r"unknown column 'split/1'; allowed are .*split, split1"),
        ("id,path,id\na,b,c\n", r"line 1: column 'id' occurs 2 times"),
        ("\nid,path\n\na,b,c\n", r"line 4: 3 fields where the header has 2 columns \(id,path\); quote a field that"),
        ("id,path\na\n", r"line 2: 1 fields where the header has 2 columns"),
        ("id,path\n,b\n", r"line 2: id is empty"),
        ("id,path\na,\n", r"line 2: path of 'a' is empty"),
        ("id,path\na,b\nc,d\na,e\n", r"line 4: id 'a' was given in line 2 already; ids must be unique"),
        ("id,path\na,b\na/b,c\n", r"set.csv: Item id 'a' is a path prefix of item id 'a/b'"),
        ("id,path\n../a,b\n", r"set.csv: Item id '../a' has the component '..'"),
        (
            "id,path,start\na,b,soon\n",
            r"line 2: start is 'soon'; it must be a finite number of seconds such as 3.74, or empty",
        ),
        ("id,path,end\na,b,nan\n", r"line 2: end is 'nan'; it must be a finite number"),
        ("id,path,end\na,b,1_0\n", r"line 2: end is '1_0'; "),
        ("id,path,end\na,b,1e999\n", r"line 2: end is inf; it must be a finite number"),
        ("id,path,start\na,b,-1\n", r"line 2: start is -1.0; it must be"),
        ("id,path,start,end\na,b,2,2\n", r"line 2: start is 2.0 and end is 2.0; \[start, end\) must not be empty"),
        ("id,path,label\na,b,x||y\n", r"line 2: label '' is not allowed"),
        ("id,path,label\na,b,x|x\n", r"line 2: the labels 'x\|x' name one label twice"),
        ("id,path,split\na,b,Train\n", r"line 2: split is 'Train'; allowed are train, val, test, or an empty field"),
        ('id,path\na,"b\n', r"set.csv, line 2: the field .* opens a quote that is not closed"),
        (b"id,path\ncaf\xe9,b\n", r"line 2: id .* is not UTF-8; save the manifest as UTF-8 \(only path may hold other"),
        (b"id,path,label\na,b,caf\xe9\n", r"line 2: label .* is not UTF-8"),
        (
            "id,path\na,b\n".encode("utf-16"),
            r"set.csv contains NUL bytes, so it is no UTF-8 text .*save it as CSV UTF-8",
        ),
    ],
)
def test_refused(manifest, content, words):
    with pytest.raises(UsageError, match=words):
        read_manifest(manifest(content))


def test_line_numbers_count_lines_inside_quotes(manifest):
    with pytest.raises(UsageError, match=r"line 4: start is 'x'"):
        read_manifest(manifest('id,path,start\n"a\nb",p,\nc,d,x\n'))


def test_missing_or_unreadable_manifest(tmp_path):
    with pytest.raises(UsageError, match=r"Manifest .*none.csv does not exist"):
        read_manifest(tmp_path / "none.csv")
    with pytest.raises(UsageError, match=r"Cannot read manifest .*: Is a directory"):
        read_manifest(tmp_path)


def test_round_trip_of_everything(tmp_path):
    items = [
        Item("b/2", tmp_path / "v" / "b.mp4", 0.1, 1 / 3, ("x", "y z"), "rec, 1", {"split": "train", "split2": "val"}),
        Item("a", tmp_path / "v" / "b.mp4", None, 1e-7, (), "v/b.mp4", {"split2": "test"}),
        Item("c", Path("/elsewhere/c.mp4"), 2.0, None, ("#",), "-", {}),
    ]
    write_manifest(tmp_path / "set.csv", items)
    assert read_manifest(tmp_path / "set.csv") == items
    assert "v/b.mp4" in (tmp_path / "set.csv").read_text() and str(tmp_path) not in (tmp_path / "set.csv").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["set.csv"], "no temporary file stays"


def test_unused_columns_are_left_out(tmp_path):
    write_manifest(tmp_path / "set.csv", [Item("a", None, labels=("walk",))])
    assert (tmp_path / "set.csv").read_text() == "id,label\na,walk\n"


def test_a_moved_set_still_finds_its_files(tmp_path):
    (tmp_path / "old").mkdir()
    write_manifest(tmp_path / "old" / "set.csv", [Item("a", tmp_path / "old" / "v" / "a.mp4", group="v/a.mp4")])
    (tmp_path / "old").rename(tmp_path / "new")
    assert read_manifest(tmp_path / "new" / "set.csv")[0].path == tmp_path / "new" / "v" / "a.mp4"


def test_unwritable_manifest(tmp_path):
    with pytest.raises(StorageError, match=r"Cannot write manifest .*No such file or directory"):
        write_manifest(tmp_path / "none" / "set.csv", [Item("a", None)])


def test_the_action_set_reads(real_actions):
    items = read_manifest(real_actions / "segments.csv")
    assert all(item.path.is_file() and item.start < item.end for item in items)
    assert len({item.group for item in items}) == 12, "segments of a recording share its group"
