"""UCF101's lists: every oddity of the real ones in miniature."""

import pytest
from miniature import by_id, imported, left_out, touch, write

from vidfeat.datasets.ucf101 import SIZES
from vidfeat.errors import UsageError

ARCHERY = [f"Archery/v_Archery_g{g:02d}_c01.avi" for g in (1, 8, 15)]
STAND = [f"HandstandPushups/v_HandStandPushups_g{g:02d}_c0{c}.avi" for g, c in ((1, 1), (1, 2), (8, 1))]
CLASSES = "1 Archery\r\n2 HandstandPushups\r\n"


def crlf(*lines):
    return "".join(f"{line}\r\n" for line in lines)


def lists(folder, **changed):
    """Two splits, with CRLF, a number behind training names and none behind test names."""
    files = {
        "classInd": CLASSES,
        "trainlist01": crlf(f"{ARCHERY[1]} 1", f"{ARCHERY[2]} 1", f"{STAND[2]} 2"),
        "testlist01": crlf(ARCHERY[0], STAND[0], STAND[1]),
        "trainlist02": crlf(f"{ARCHERY[0]} 1", f"{STAND[0]} 2", f"{STAND[1]} 2"),
        "testlist02": crlf(ARCHERY[1], ARCHERY[2], STAND[2]),
        **changed,
    }
    return write(folder, {f"{name}.txt": text for name, text in files.items() if text is not None})


@pytest.fixture
def root(tmp_path):
    lists(tmp_path / "ucfTrainTestlist")
    return touch(tmp_path / "UCF-101", *ARCHERY, *STAND)


def test_splits_labels_and_groups(root):
    """Paths are ids, test lists have no label, and every line ends in CRLF."""
    found = imported("ucf101", root)
    items = by_id(found)
    assert sorted(items) == sorted(ARCHERY + STAND)
    assert items[ARCHERY[0]].splits == {"split1": "test", "split2": "train"}
    assert items[ARCHERY[0]].labels == ("Archery",)
    assert [items[name].group for name in STAND] == ["HandstandPushups/g01"] * 2 + ["HandstandPushups/g08"]
    assert found.classes == {1: "Archery", 2: "HandstandPushups"}
    assert (found.regrouped, found.left_out) == (0, [])


def test_the_label_is_the_folder_not_the_file(root):
    """Folder HandstandPushups, files v_HandStandPushups_*."""
    assert {item.labels for name, item in by_id(imported("ucf101", root)).items() if "HandStand" in name} == {
        ("HandstandPushups",)
    }


@pytest.mark.parametrize("spelling", ["HandStandPushups", "HandstandPushups"])
def test_either_spelling_of_folder_and_file_is_found(tmp_path, spelling):
    names = [name.replace("HandstandPushups", spelling).replace("HandStandPushups", spelling) for name in STAND]
    touch(tmp_path / "videos", *ARCHERY, *names)
    lists(tmp_path / "lists")
    found = imported("ucf101", tmp_path / "videos", tmp_path / "lists")
    assert found.left_out == []
    assert {label for item in found.items for label in item.labels} == {"Archery", "HandstandPushups"}


def test_backslashes_byte_order_marks_and_labels_in_test_lists(tmp_path):
    lists(
        tmp_path / "lists",
        classInd="\ufeff" + CLASSES,
        testlist01="\ufeff" + crlf(ARCHERY[0].replace("/", "\\") + " 1", "", f"{STAND[0]} 2 ", STAND[1]),
    )
    found = imported("ucf101", touch(tmp_path / "v", *ARCHERY, *STAND), tmp_path / "lists")
    assert by_id(found)[ARCHERY[0]].splits["split1"] == "test"
    assert len(found.items) == 6


def test_missing_files_are_left_out_and_said(root):
    (root / STAND[1]).unlink()
    found = imported("ucf101", root)
    assert left_out(found) == {STAND[1]: "not found"}
    assert found.left_out[0].where.endswith("testlist01.txt, line 3")
    assert len(found.items) == 5
    assert found.listed["split1", "test"] == 3


def test_a_video_in_both_parts_of_a_split_is_left_out(root):
    lists(root.parent / "ucfTrainTestlist", testlist02=crlf(ARCHERY[0], ARCHERY[1], ARCHERY[2], STAND[2]))
    reasons = left_out(imported("ucf101", root))
    assert list(reasons) == [ARCHERY[0]]
    assert reasons[ARCHERY[0]].startswith("split2 is ")


def test_a_group_that_a_split_separates_is_dissolved(root):
    """A group rule never rejects an official split."""
    lists(root.parent / "ucfTrainTestlist", trainlist02=crlf(f"{ARCHERY[0]} 1", f"{STAND[0]} 2"),
          testlist02=crlf(ARCHERY[1], STAND[1], STAND[2]))  # fmt: skip
    found = imported("ucf101", root)
    assert found.regrouped == 1
    assert {name: item.group for name, item in by_id(found).items() if "HandStand" in name} == {
        STAND[0]: STAND[0],
        STAND[1]: STAND[1],
        STAND[2]: "HandstandPushups/g08",
    }


def test_the_full_sizes_are_those_of_13320_videos():
    assert [SIZES[f"split{k}", "train"] + SIZES[f"split{k}", "test"] for k in (1, 2, 3)] == [13320] * 3


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"testlist02": None}, r"has no testlist02.txt, only the other half of split 2"),
        ({"trainlist02": None}, r"has no trainlist02.txt, only the other half of split 2"),
        ({"classInd": None}, r"Cannot read .*classInd.txt: No such file"),
        ({"classInd": "Archery\r\n"}, r"classInd.txt, line 1: 'Archery' is not of the form '1 ApplyEyeMakeup'"),
        ({"testlist01": crlf(ARCHERY[0], "", "Bow/v_Bow_g01_c01.avi")}, r"testlist01.txt, line 3: classInd.txt has no "
         "class 'Bow'"),
        ({"trainlist01": crlf(f"{ARCHERY[1]} 2")}, r"trainlist01.txt, line 1: the folder is 'Archery', but class 2 is "
         "'HandstandPushups'"),
        ({"trainlist01": crlf(f"{ARCHERY[1]} 7")}, r"line 1: the folder is 'Archery', but class 7 is 'not in"),
        ({"trainlist01": crlf("v_Archery.avi 1")}, r"line 1: 'v_Archery.avi 1' is not of the form 'Class/video.avi'"),
        ({"trainlist01": crlf("../v.avi 1")}, r"line 1: classInd.txt has no class '..'"),
    ],
)  # fmt: skip
def test_wrong_lists_are_refused_with_file_and_line(tmp_path, changed, words):
    touch(tmp_path / "videos", *ARCHERY)
    with pytest.raises(UsageError, match=words):
        imported("ucf101", tmp_path / "videos", lists(tmp_path / "lists", **changed))


def test_no_video_at_all_is_an_error_that_says_what_was_looked_for(tmp_path):
    lists(tmp_path / "lists")
    touch(tmp_path / "videos", "other.avi")
    words = (
        r"None of the 6 items of ucf101 can be used; .*videos has 1 video below it. The first: .*Archery_g08.* "
        r"\(.*trainlist01.txt, line 1\): not found. ROOT must be the folder of the videos"
    )
    with pytest.raises(UsageError, match=words):
        imported("ucf101", tmp_path / "videos", tmp_path / "lists")
