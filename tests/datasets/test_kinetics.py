"""Kinetics' lists: CSV with and without labels, trimmed clips or whole videos."""

import pytest
from miniature import by_id, imported, left_out, touch, write

from vidfeat.errors import UsageError

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
TRAIN = HEADER + (
    "shooting goal (soccer),-AbC_dEf123,7,17,train,0\n"
    '"massaging person\'s head",0wR5jVB-WPk,417,427,train,0\n'
    "abseiling,_x4kKvBq1zA,0,10,train,1\n"
)
VAL = "label,youtube_id,time_start,time_end,split\r\nabseiling,zzzzzzzzzz-,1.0,11.0,validate\r\n"
TEST = "youtube_id,time_start,time_end,split\ntttttttttt1,70,80,test\n"
CLIPS = ["-AbC_dEf123_000007_000017", "0wR5jVB-WPk_000417_000427", "_x4kKvBq1zA_000000_000010",
         "zzzzzzzzzz-_000001_000011", "tttttttttt1_000070_000080"]  # fmt: skip


def lists(folder, **changed):
    files = {"train": TRAIN, "validate": VAL, "test": TEST, **changed}
    return write(folder, {f"{name}.csv": text for name, text in files.items() if text is not None})


@pytest.fixture
def root(tmp_path):
    lists(tmp_path / "annotations")
    places = [f"train/shooting goal (soccer)/{CLIPS[0]}.mp4", f"train/massaging_persons_head/{CLIPS[1]}.mp4",
              f"train/abseiling/{CLIPS[2]}.mkv", f"val/{CLIPS[3]}.mp4", f"test/{CLIPS[4]}.mp4"]  # fmt: skip
    return touch(tmp_path / "videos", *places)


def test_clips_are_found_by_id_and_times_in_any_folder(root):
    """Ids begin with - or _; labels have spaces, parentheses, quotes; folders are spelt as they please."""
    items = by_id(imported("kinetics", root))
    assert list(items) == [CLIPS[4], *CLIPS[:4]]  # files in the order of their names: test, train, validate
    assert [items[clip].labels for clip in CLIPS] == [
        ("shooting goal (soccer)",), ("massaging person's head",), ("abseiling",), ("abseiling",), ()
    ]  # fmt: skip
    assert all(item.start is None and item.end is None for item in items.values()), "clips are trimmed already"


def test_parts_and_the_usual_protocol(root):
    """The test list has no labels, so the validation part is what everybody tests on."""
    items = by_id(imported("kinetics", root))
    assert [items[clip].splits for clip in (CLIPS[0], CLIPS[3], CLIPS[4])] == [
        {"split": "train", "split_val": "train"},
        {"split": "val", "split_val": "test"},
        {"split": "test"},
    ]


def test_classes_are_the_sorted_labels_of_the_training_part(root):
    assert list(imported("kinetics", root).classes.items()) == [
        (0, "abseiling"), (1, "massaging person's head"), (2, "shooting goal (soccer)")
    ]  # fmt: skip


def test_a_label_of_the_validation_part_alone_has_no_number(root):
    more = VAL + "yoga,yyyyyyyyyyy,0,10,validate\r\n"
    lists(root.parent / "annotations", validate=more)
    assert "yoga" not in imported("kinetics", root).classes.values()


def test_without_a_training_list_all_labels_count(tmp_path):
    lists(tmp_path / "lists", train=None)
    found = imported("kinetics", touch(tmp_path / "v", f"{CLIPS[3]}.mp4"), tmp_path / "lists")
    assert found.classes == {0: "abseiling"}


def test_whole_videos_are_cut(tmp_path):
    lists(tmp_path / "lists", validate=None, test=None)
    root = touch(tmp_path / "v", "-AbC_dEf123.mp4", "0wR5jVB-WPk.webm", f"{CLIPS[1]}.mp4", "_x4kkvbq1za.mp4")
    found = imported("kinetics", root, tmp_path / "lists")
    items = by_id(found)
    assert (items[CLIPS[0]].start, items[CLIPS[0]].end) == (7.0, 17.0)
    assert (items[CLIPS[1]].start, items[CLIPS[1]].path.name) == (None, f"{CLIPS[1]}.mp4"), "the clip comes first"
    assert left_out(found) == {CLIPS[2]: "not found"}, "an id in other letters' case is another video"


def test_two_clips_of_one_video_in_two_parts_are_no_group(tmp_path):
    rows = "a,V1,0,10,train\na,V1,20,30,val\nb,V2,0,10,train\nb,V2,20,30,train\n"
    write(tmp_path / "lists", {"all.csv": "label,youtube_id,time_start,time_end,split\n" + rows})
    found = imported("kinetics", touch(tmp_path / "v", "V1.mp4", "V2.mp4"), tmp_path / "lists" / "all.csv")
    assert [item.group for item in found.items] == ["V1_000000_000010", "V1_000020_000030", "V2", "V2"]


def test_a_row_given_twice_counts_once_and_other_tables_are_passed_over(root):
    write(root.parent / "annotations", {"train_again.csv": TRAIN, "set.csv": "id,path\na,b\n", "odd.csv": '"a'})
    assert len(imported("kinetics", root, root.parent / "annotations").items) == 5


def test_without_a_column_split_the_name_of_the_file_says_it(tmp_path):
    write(tmp_path / "lists", {"kinetics_val.csv": "label,youtube_id,time_start,time_end\na,V1,0,10\n"})
    found = imported("kinetics", touch(tmp_path / "v", "V1.mp4"), tmp_path / "lists")
    assert found.items[0].splits == {"split": "val", "split_val": "test"}


def test_an_empty_segment_is_left_out(root):
    lists(root.parent / "annotations", test=TEST + "tttttttttt1,80,80,test\n")
    assert left_out(imported("kinetics", root)) == {"tttttttttt1_000080_000080": "its segment [80, 80] is empty"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"train": HEADER + "a,V1,x,10,train,0\n"}, r"train.csv, line 2: time_start is 'x'; it must be a numbe"),
        ({"train": HEADER + "\na,V1,0,-1,train,0\n"}, r"train.csv, line 3: time_end is '-1'; it must be"),
        ({"train": HEADER + "a,V1,0,10,dev,0\n"}, r"train.csv, line 2: the split is 'dev'; allowed are train, v"),
        ({"train": HEADER + "a,V1,0,10\n"}, r"train.csv, line 2: 4 fields where the header has 6 columns"),
        ({"train": HEADER + '"a,V1\n'}, r"train.csv, line 2: the field .* opens a quote that is not closed"),
        ({"train": "youtube_id,time_start\nV1,0\n"}, r"train.csv, line 1: column 'time_end' is missing; needed are"),
        ({"train": HEADER + "a|b,V1,0,10,train,0\n"}, r"train.csv, line 2: the label 'a\|b' is empty or has '\|'"),
        ({"train": HEADER + ",,0,10,train,0\n"}, r"train.csv, line 2: youtube_id is empty"),
        ({"train": HEADER + "a,b/../c,0,10,train,0\n"}, r"train.csv, line 2: Item id .* has the component '..'"),
    ],
)  # fmt: skip
def test_wrong_lists_are_refused_with_file_and_line(root, changed, words):
    with pytest.raises(UsageError, match=words):
        imported("kinetics", root, lists(root.parent / "annotations", **changed))


def test_a_file_that_says_no_part_is_refused(tmp_path):
    write(tmp_path, {"lists/rows.csv": "label,youtube_id,time_start,time_end\na,V1,0,10\n"})
    with pytest.raises(UsageError, match=r"rows.csv, line 2: the split is ''; .*a file named after its part, such as"):
        imported("kinetics", touch(tmp_path / "v", "V1.mp4"), tmp_path / "lists")


def test_a_folder_of_other_tables_is_refused(tmp_path):
    write(tmp_path, {"lists/train.csv": "id,path\na,b\n"})
    with pytest.raises(UsageError, match=r"No CSV in .*lists has a column youtube_id"):
        imported("kinetics", touch(tmp_path / "v", "V1.mp4"), tmp_path / "lists")
