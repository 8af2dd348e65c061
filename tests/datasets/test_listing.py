"""Files, directories and manifests as one list: ids, labels, groups, what is passed over, what is refused."""

import os
from pathlib import Path

import pytest

from vidfeat.datasets.listing import list_items
from vidfeat.errors import UsageError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        return tmp_path

    monkeypatch.chdir(tmp_path)
    return make


def summary(listing):
    return [(item.id, item.labels, item.group) for item in listing.items]


def test_directory(tree):
    root = tree(
        "v/run/b.MP4", "v/run/deep/a.avi", "v/top.jpg", "v/notes.txt", "v/run/x.TXT", "v/run/none", "v/walk/b.mp4"
    )
    listing = list_items([root / "v"])
    assert summary(listing) == [
        ("run/b.MP4", ("run",), "run/b.MP4"),
        ("run/deep/a.avi", ("deep",), "run/deep/a.avi"),
        ("top.jpg", (), "top.jpg"),
        ("walk/b.mp4", ("walk",), "walk/b.mp4"),
    ]
    assert listing.items[0].path == root / "v" / "run" / "b.MP4"
    assert listing.ignored == {".txt": 2, "": 1} and listing.missing == [] and listing.hidden == 0


@pytest.mark.parametrize("spelling", ["v", "./v", "v/", "v/../v", "v/run/.."])
def test_id_does_not_depend_on_how_the_directory_is_spelt(tree, spelling):
    tree("v/run/a.mp4")
    assert summary(list_items([Path(spelling)])) == [("run/a.mp4", ("run",), "run/a.mp4")]


def test_current_directory_and_strings(tree, monkeypatch):
    monkeypatch.chdir(tree("v/a.mp4") / "v")
    assert summary(list_items(["."])) == [("a.mp4", (), "a.mp4")]


def test_a_glob_gives_the_ids_labels_and_groups_of_the_directory(tree):
    root = tree("v/run/a.mp4", "v/run/b.mp4", "v/walk/a.mp4")
    whole = list_items([root / "v"])
    for pattern in ("v/*", "v/*/*"):
        assert summary(list_items(sorted(root.glob(pattern)))) == summary(whole)


def test_lone_files(tree):
    root = tree("v/run/a.mp4", "v/run/b.mp4", "v/song.mp3")
    assert summary(list_items([root / "v/run/a.mp4"])) == [("a.mp4", (), "a.mp4")]
    assert [item.id for item in list_items([root / "v/run/b.mp4", root / "v/run/a.mp4"]).items] == ["a.mp4", "b.mp4"]
    assert [item.id for item in list_items([root / "v/song.mp3"]).items] == ["song.mp3"], "named files are always items"


def test_same_name_in_two_folders_is_kept_apart(tree):
    root = tree("x/a.mp4", "y/a.mp4")
    assert [item.id for item in list_items([root / "x", root / "y"]).items] == ["x/a.mp4", "y/a.mp4"]


@pytest.mark.parametrize(
    "name", ["#1.avi", "-x.avi", "a b 'c' \"d\".mp4", "é 漢.avi", "[a]*?.mp4", "a\nb.mp4", "a\\b.mp4"]
)
def test_odd_names(tree, name):
    root = tree(f"v/{name}")
    assert [item.id for item in list_items([root / "v"]).items] == [name]


def test_hidden_files_and_folders_are_passed_over(tree):
    root = tree("v/a.mp4", "v/._a.mp4", "v/.cache/b.mp4")
    listing = list_items([root / "v"])
    assert [item.id for item in listing.items] == ["a.mp4"] and listing.hidden == 2


def test_links(tree):
    root = tree("v/x/a.mp4", "other/b.mp4")
    (root / "v" / "loop").symlink_to(root / "v")
    (root / "v" / "x" / "up").symlink_to("..")
    (root / "v" / "more").symlink_to(root / "other")
    (root / "v" / "broken.mp4").symlink_to("nowhere.mp4")
    (root / "v" / "self.mp4").symlink_to("self.mp4")
    listing = list_items([root / "v"])
    assert [item.id for item in listing.items] == ["broken.mp4", "more/b.mp4", "self.mp4", "x/a.mp4"]
    assert listing.missing == ["broken.mp4", "self.mp4"]


def test_something_that_is_no_file_is_ignored(tree):
    root = tree("v/a.mp4")
    os.mkfifo(root / "v" / "pipe.mp4")
    listing = list_items([root / "v"])
    assert [item.id for item in listing.items] == ["a.mp4"] and listing.ignored == {".mp4": 1}


def test_manifest_keeps_missing_files(tree):
    root = tree("a.mp4")
    (root / "set.CSV").write_text(f"id,path\nz,a.mp4\ngone,b.mp4\nlong,{'x' * 300}.mp4\n")
    listing = list_items([root / "set.CSV"])
    assert [item.id for item in listing.items] == ["gone", "long", "z"] and listing.missing == ["gone", "long"]


def test_manifest_beside_a_directory_shares_groups_of_the_same_source(tree):
    root = tree("v/run/a.mp4")
    (root / "set.csv").write_text("id,path,end\ncut,v/run/a.mp4,1\n")
    listing = list_items([root / "v", root / "set.csv"])
    assert summary(listing) == [("cut", (), "v/run/a.mp4"), ("run/a.mp4", ("run",), "v/run/a.mp4")]


def test_two_manifests_with_the_same_relative_names_have_two_groups(tree):
    root = tree("x/a.mp4", "y/a.mp4")
    for name in ("x", "y"):
        (root / name / "set.csv").write_text(f"id,path\n{name},a.mp4\n")
    assert {item.group for item in list_items([root / "x/set.csv", root / "y/set.csv"]).items} == {"x/a.mp4", "y/a.mp4"}


def test_refused_inputs(tree):
    root = tree("v/a.mp4", "texts/a.txt", "texts/b.txt", "texts/set.csv", "texts/.x")
    (root / "empty").mkdir()
    for inputs, words in (
        ([], r"No input: give videos, images, directories, or a .csv manifest"),
        ([root / "none"], r"Input '.*none' does not exist"),
        ([root / "v", root / "none.csv"], r"Input '.*none.csv' does not exist"),
        (
            [root / "empty"],
            r"Directory '.*empty' has no video or image below it, no file at all; known suffixes are .*\.mp4",
        ),
        (
            [root / "v", root / "texts"],
            r"only other files \(1 .csv, 2 .txt, 1 hidden\); .*Give a manifest by its own name",
        ),
        ([root / "v", root / "v"], r"Item id 'a.mp4' occurs twice"),
    ):
        with pytest.raises(UsageError, match=words):
            list_items(inputs)


def test_name_that_is_not_utf8_is_refused_with_the_way_out(tree):
    root = tree("v/a.mp4")
    bad = os.fsencode(root / "v") + b"/caf\xe9.mp4"
    Path(os.fsdecode(bad)).write_text("")
    with pytest.raises(UsageError, match=r"caf.*is not valid UTF-8.*Name the item yourself in a manifest"):
        list_items([root / "v"])
    (root / "set.csv").write_bytes(b"id,path\ncafe,v/caf\xe9.mp4\n")
    assert list_items([root / "set.csv"]).missing == []


def test_folder_that_cannot_be_a_label(tree):
    root = tree("v/a|b/x.mp4")
    with pytest.raises(
        UsageError, match=r"The folder of .* cannot be its label: label 'a\|b' is not allowed.*Rename it, or use"
    ):
        list_items([root / "v"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every directory")
def test_unreadable_directory(tree):
    root = tree("v/x/a.mp4")
    (root / "v" / "x").chmod(0)
    try:
        with pytest.raises(UsageError, match=r"Cannot list directory .*Permission denied"):
            list_items([root / "v"])
    finally:
        (root / "v" / "x").chmod(0o755)
