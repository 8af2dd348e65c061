"""UCF Sports: folders instead of lists, and the usual split."""

import pytest
from miniature import by_id, imported, left_out, touch, write

from vidfeat.datasets.ucf_sports import FOLDERS
from vidfeat.errors import UsageError


def clips():
    """All 150 folders."""
    return [
        f"{folder}/{n:03d}" for folders in FOLDERS.values() for folder, count in folders for n in range(1, count + 1)
    ]


@pytest.fixture
def root(tmp_path):
    return touch(
        tmp_path / "ucf_sports_actions", *(f"ucf action/{clip}/7608-{k}.avi" for k, clip in enumerate(clips()))
    )


def test_103_train_47_test_ten_classes(root):
    items = by_id(imported("ucf-sports", root))
    assert sorted(items) == sorted(clips())
    parts = [item.splits["split"] for item in items.values()]
    assert (parts.count("train"), parts.count("test")) == (103, 47)
    assert len({item.labels for item in items.values()}) == 10


def test_the_first_third_of_every_class_is_for_testing(root):
    """Ids as published: diving 1-4, golf 1-6, kicking 1-6, lifting 1-2, riding 1-4, … walking 1-7."""
    test = {name for name, item in by_id(imported("ucf-sports", root)).items() if item.splits["split"] == "test"}
    expected = {"Diving-Side": 4, "Golf-Swing-Back": 5, "Golf-Swing-Front": 1, "Kicking-Front": 6, "Lifting": 2,
                "Riding-Horse": 4, "Run-Side": 4, "SkateBoarding-Front": 4, "Swing-Bench": 6, "Swing-SideAngle": 4,
                "Walk-Front": 7}  # fmt: skip
    assert test == {f"{folder}/{n:03d}" for folder, count in expected.items() for n in range(1, count + 1)}


def test_the_split_does_not_move_when_a_clip_is_missing(root):
    for path in (root / "ucf action" / "Diving-Side" / "001").iterdir():
        path.unlink()
    found = imported("ucf-sports", root)
    assert left_out(found) == {"Diving-Side/001": "not found"}
    assert [by_id(found)[f"Diving-Side/{n:03d}"].splits["split"] for n in (4, 5)] == ["test", "train"]


def test_a_folder_with_pictures_alone_is_said(root):
    """Diving-Side/008 to 014 of the official archive."""
    folder = root / "ucf action" / "Diving-Side" / "008"
    for path in folder.iterdir():
        path.unlink()
    touch(folder, "a_01.jpg", "a_02.jpg")
    (reason,) = left_out(imported("ucf-sports", root)).values()
    assert reason == "no video, only 2 pictures in ucf action/Diving-Side/008; join them into a video"


def test_a_folder_with_two_videos_is_said(root):
    touch(root / "ucf action" / "Lifting" / "001", "second.avi")
    (reason,) = left_out(imported("ucf-sports", root)).values()
    assert reason.startswith("2 files could be it: ucf action/Lifting/001/")


def test_a_split_of_ones_own(root, tmp_path):
    write(tmp_path, {"mine.txt": "Diving-Side/001 train\r\n\r\nLifting\\002 test \r\n"})
    found = imported("ucf-sports", root, tmp_path / "mine.txt")
    assert {name: item.splits["split"] for name, item in by_id(found).items()} == {
        "Diving-Side/001": "train",
        "Lifting/002": "test",
    }
    assert found.unlisted == 148


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "\nDiving-Side/099 test\n",
            r"mine.txt, line 2: there is no clip 'Diving-Side/099'; they are Diving-Side/001 to",
        ),
        ("Lifting/001 val\n", r"mine.txt, line 1: the part is 'val'; allowed are train and test"),
        ("Lifting/001\n", r"mine.txt, line 1: 'Lifting/001' is not of the form 'Diving-Side/001 test'"),
        ("Lifting/001 test\nLifting/001 train\n", r"line 2: 'Lifting/001' was given in .*line 1 already; name it once"),
        ("\n", r"The lists of ucf-sports name no item; are the files empty\?"),
    ],
)
def test_wrong_splits_are_refused_with_file_and_line(root, tmp_path, text, words):
    with pytest.raises(UsageError, match=words):
        imported("ucf-sports", root, write(tmp_path, {"mine.txt": text}) / "mine.txt")


def test_splits_must_be_a_file(root, tmp_path):
    with pytest.raises(UsageError, match=r"--splits .* is no file. For ucf-sports it is a file of lines such as"):
        imported("ucf-sports", root, tmp_path)
