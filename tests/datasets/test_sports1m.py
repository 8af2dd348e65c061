"""Sports-1M's lists: addresses, numbers of labels, packed files."""

import gzip

import pytest
from miniature import by_id, imported, left_out, touch, write

from vidfeat.errors import UsageError

IDS = ["UDqivjS-lpI", "-_x1IoTLXYw", "udqIVJS-LPi"]
TRAIN = f"https://www.youtube.com/watch?v={IDS[0]} 1,2\nhttp://youtu.be/{IDS[1]}  0\r\n"
TEST = f"http://www.youtube.com/watch?v={IDS[2]}&feature=x 2,2\n"
LABELS = "boomerang\nmodel aircraft \ndrag racing\n"


def lists(folder, train=TRAIN, test=TEST, labels=LABELS):
    return write(
        folder,
        {"original/train_partition.txt": train, "original/test_partition.txt": test, "labels.txt": labels},
    )


def test_several_labels_by_line_number_from_0(tmp_path):
    """Ids may begin with - or _, and differ in case alone; files have any suffix."""
    touch(tmp_path / "v", f"{IDS[0]}.mp4", f"a/{IDS[1]}.mkv", f"b/{IDS[2]}.webm")
    found = imported("sports1m", tmp_path / "v", lists(tmp_path / "lists"))
    items = by_id(found)
    assert [items[name].labels for name in IDS] == [("model aircraft", "drag racing"), ("boomerang",), ("drag racing",)]
    assert [items[name].splits["split"] for name in IDS] == ["train", "train", "test"]
    assert [items[name].path.suffix for name in IDS] == [".mp4", ".mkv", ".webm"]
    assert found.classes == {0: "boomerang", 1: "model aircraft", 2: "drag racing"}


def test_packed_lists(tmp_path):
    write(tmp_path / "lists", {"train_partition.txt.gz": gzip.compress(TRAIN.encode()), "labels.txt": LABELS,
                               "test_partition.txt.gz": gzip.compress(TEST.encode())})  # fmt: skip
    touch(tmp_path / "v", *(f"{name}.mp4" for name in IDS))
    assert len(imported("sports1m", tmp_path / "v", tmp_path / "lists").items) == 3


def test_videos_that_are_gone_are_left_out(tmp_path):
    found = imported("sports1m", touch(tmp_path / "v", f"{IDS[0]}.mp4"), lists(tmp_path / "lists"))
    assert left_out(found) == {IDS[1]: "not found", IDS[2]: "not found"}


def test_a_video_in_both_parts_is_left_out(tmp_path):
    """Repartitions of the data set have such videos: one label trains, another tests."""
    again = f"{TEST}http://youtu.be/{IDS[0]} 0\n"
    touch(tmp_path / "v", *(f"{name}.mp4" for name in IDS))
    found = imported("sports1m", tmp_path / "v", lists(tmp_path / "lists", test=again))
    (reason,) = left_out(found).values()
    assert reason.startswith("split is train in ") and reason.endswith("test_partition.txt, line 2")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"train": "http://example.org/x 1\n"}, r"train_partition.txt, line 1: 'http://example.org/x' is no addr"),
        ({"test": f"\nhttp://youtu.be/{IDS[0]} 3\n"}, r"test_partition.txt, line 2: '3' is no label; labels.txt ha"),
        ({"test": f"http://youtu.be/{IDS[0]} 1;2\n"}, r"test_partition.txt, line 1: '1;2' is no label"),
        ({"test": f"http://youtu.be/{IDS[0]}\n"}, r"test_partition.txt, line 1: .* is not of the form 'URL 12,34'"),
    ],
)  # fmt: skip
def test_wrong_lists_are_refused_with_file_and_line(tmp_path, changed, words):
    with pytest.raises(UsageError, match=words):
        imported("sports1m", touch(tmp_path / "v", f"{IDS[0]}.mp4"), lists(tmp_path / "lists", **changed))


def test_a_missing_labels_file_is_said(tmp_path):
    folder = lists(tmp_path / "lists")
    (folder / "labels.txt").unlink()
    with pytest.raises(UsageError, match=r"Found no labels.txt in .*original or .*lists, packed or not"):
        imported("sports1m", touch(tmp_path / "v", f"{IDS[0]}.mp4"), folder)
