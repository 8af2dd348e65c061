"""Where lists are looked for, and how lines about one item are joined."""

import pytest
from miniature import imported, touch

from vidfeat.datasets.importing import IMPORTERS, official_groups
from vidfeat.datasets.official import Collector, Entry, Place, numbered, sized
from vidfeat.errors import UsageError
from vidfeat.stages.config.dataset import NAMES


@pytest.mark.parametrize("place", ["root", "root/lists", ".", "lists"])
def test_lists_are_found_in_and_beside_root(tmp_path, place):
    touch(tmp_path / "root", "v.avi")
    touch(tmp_path / place, "a_list.txt")
    assert Place(tmp_path / "root").lists("*_list.txt", "the lists").resolve() == (tmp_path / place).resolve()


def test_the_nearest_lists_are_taken(tmp_path):
    touch(tmp_path, "root/in/a_list.txt", "beside/a_list.txt")
    assert Place(tmp_path / "root").lists("*_list.txt", "the lists").name == "in"


def test_two_folders_of_lists_must_be_chosen_from(tmp_path):
    touch(tmp_path, "root/one/a_list.txt", "root/two/a_list.txt")
    with pytest.raises(UsageError, match=r"the lists could be in any of .*one, .*two. Say which with --splits"):
        Place(tmp_path / "root").lists("*_list.txt", "the lists")
    assert Place(tmp_path / "root").lists("*_list.txt", "the lists", prefer=("two",)).name == "two"
    assert Place(tmp_path / "root", tmp_path / "root" / "one").lists("*_list.txt", "the lists").name == "one"
    assert Place(tmp_path, tmp_path / "root" / "one" / "a_list.txt").lists("*_list.txt", "the lists").name == "one"


def test_lists_that_are_nowhere_are_said(tmp_path):
    touch(tmp_path / "root", "v.avi")
    with pytest.raises(UsageError, match=r"Found no \*_list.txt in .*root and .*, or in the folders there. Give the "
                       r"folder of the lists with --splits"):  # fmt: skip
        Place(tmp_path / "root").lists("*_list.txt", "the lists")
    with pytest.raises(UsageError, match=r"--splits .*none does not exist; it is the folder or file of the lists"):
        Place(tmp_path / "root", tmp_path / "none").lists("*_list.txt", "the lists")


def test_lines_about_one_item_are_joined():
    collector = Collector()
    collector.add("a", "l, line 1", labels=["x"], splits={"split1": "train"}, names=("a.avi",))
    collector.add("a", "l, line 2", labels=["y", "x"], splits={"split2": "test"})
    (entry,) = collector.entries()
    assert (entry.labels, entry.splits, entry.where, entry.problem) == (
        ("x", "y"), {"split1": "train", "split2": "test"}, "l, line 1", ""
    )  # fmt: skip


def test_a_contradiction_is_a_problem_of_the_item():
    collector = Collector()
    collector.add("a", "l, line 1", splits={"split1": "train"})
    assert collector.add("a", "m, line 2", splits={"split1": "test"}).problem == (
        "split1 is train in l, line 1 and test in m, line 2"
    )


def test_groups_stay_where_no_split_separates_them():
    entries = [
        Entry("a", "", group="g", splits={"split1": "train"}),
        Entry("b", "", group="g", splits={"split1": "train", "split2": "test"}),
        Entry("c", "", group="h", splits={"split1": "train", "split2": "train"}),
        Entry("d", "", group="h", splits={"split1": "train", "split2": "test"}),
        Entry("e", "", splits={"split1": "test"}),
    ]
    assert official_groups(entries) == (["g", "g", "c", "d", "e"], 1)


def test_an_item_that_is_left_out_separates_no_group():
    entries = [Entry("a", "", group="g", splits={"split1": "train"}),
               Entry("b", "", group="g", splits={"split1": "test"}, problem="contradicts itself")]  # fmt: skip
    assert official_groups(entries) == (["g", "g"], 0)


def test_numbers_and_sizes():
    assert numbered(["b", "a", "b"]) == {0: "a", 1: "b"}
    assert sized(split=(1, 2, 3)) == {("split", "train"): 1, ("split", "val"): 2, ("split", "test"): 3}


def test_the_command_offers_every_importer():
    assert tuple(IMPORTERS) == NAMES


def test_root_must_be_a_folder(tmp_path):
    with pytest.raises(UsageError, match=r"none is not a folder; ROOT is the folder that holds the data set's videos"):
        imported("ucf101", tmp_path / "none")
