"""Hollywood2's lists: one file per class and part, several labels per clip."""

import pytest
from miniature import by_id, imported, touch, write

from vidfeat.errors import UsageError

CLIPS = ["actioncliptrain00001", "actioncliptrain00002", "actioncliptest00001", "actionclipautoautotrain00001"]


def lists(folder, **changed):
    """Two spaces between name and flag, no suffix, and a list of all clips that is no class."""
    files = {
        "Kiss_train": f"{CLIPS[0]}  1\n{CLIPS[1]}  -1\n",
        "Run_train": f"{CLIPS[0]}  1\n{CLIPS[1]}  -1\n",
        "Kiss_test": f"{CLIPS[2]}  -1\r\n",
        "Run_test": f"{CLIPS[2]}  1 \r\n",
        "Kiss_autotrain": f"{CLIPS[3]} 1\n",
        "Run_autotrain": f"{CLIPS[3]}  -1\n",
        "actions_train": f"{CLIPS[0]}\n{CLIPS[1]}\n",
        "actions_test": f"{CLIPS[2]}\n",
        **changed,
    }
    return write(folder, {f"{name}.txt": text for name, text in files.items() if text is not None})


@pytest.fixture
def root(tmp_path):
    lists(tmp_path / "ClipSets")
    write(tmp_path, {"ClipSetsScenes/EXT-house_test.txt": "sceneclip  1\n", "README": "text"})
    touch(tmp_path, *(f"AVIClips/{clip}.avi" for clip in CLIPS))
    return tmp_path


def test_labels_add_up_over_the_lists(root):
    items = by_id(imported("hollywood2", root))
    assert [items[f"{clip}.avi"].labels for clip in CLIPS] == [("Kiss", "Run"), (), ("Run",), ("Kiss",)]


def test_clean_and_automatic_training_part(root):
    items = by_id(imported("hollywood2", root))
    assert [items[f"{clip}.avi"].splits for clip in CLIPS] == [
        {"split": "train"},
        {"split": "train"},
        {"split": "test", "split_auto": "test"},
        {"split_auto": "train"},
    ]


def test_the_list_of_all_clips_is_no_class(root):
    assert imported("hollywood2", root).classes == {0: "Kiss", 1: "Run"}


def test_every_clip_is_a_group(root):
    assert all(item.group == item.id for item in imported("hollywood2", root).items)


def test_scenes_have_the_same_form(root):
    touch(root, "AVIClipsScenes/sceneclip.avi")
    found = imported("hollywood2", root, root / "ClipSetsScenes")
    assert [(item.id, item.labels) for item in found.items] == [("sceneclip.avi", ("EXT-house",))]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"Run_test": None}, r"has no Run_test.txt, but other classes have a test list"),
        ({"Run_test": f"{CLIPS[2]}  0\n"}, r"Run_test.txt, line 1: the flag is '0'; allowed are 1 and -1"),
        ({"Run_test": f"{CLIPS[2]}\n"}, r"Run_test.txt, line 1: '.*' is not of the form 'clip 1'"),
        ({"Run_test": f"{CLIPS[2]}  1\nx  1\n"}, r"Run_test.txt, line 2: 'x' is not in Kiss_test.txt"),
        (
            {"Run_train": f"{CLIPS[0]}  1\n"},
            r"Run_train.txt has no line for '.*00002', which is in .*Kiss_train.txt, l",
        ),
        (
            {"Kiss_test": f"{CLIPS[2]}  1\n\n{CLIPS[2]}  -1\n"},
            r"Kiss_test.txt, line 3: '.*' was given in line 1 already",
        ),
    ],
)
def test_wrong_lists_are_refused_with_file_and_line(root, changed, words):
    lists(root / "ClipSets", **changed)
    if None in changed.values():
        (root / "ClipSets" / "Run_test.txt").unlink()
    with pytest.raises(UsageError, match=words):
        imported("hollywood2", root)
