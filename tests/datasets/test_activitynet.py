"""ActivityNet's annotations: segments, whole videos, and the odd ones among 20,000."""

import json

import pytest
from miniature import by_id, imported, left_out, touch, write

from vidfeat.errors import UsageError


def annotated(*pairs, subset="training"):
    return {"subset": subset, "duration": 100.0, "resolution": "320x240", "url": "https://www.youtube.com/watch?v=x",
            "annotations": [{"label": label, "segment": list(segment)} for label, segment in pairs]}  # fmt: skip


DATABASE = {
    "-abc_def": annotated(("Washing hands", (0, 0)), ("Washing hands", (1.5, 20.25)), ("Drinking", (30, 40.5))),
    "v_odd": annotated(("Drinking", (5, 6)), ("Cleaning", (5, 6)), ("Drinking", (5, 6)), subset="validation"),
    "testvideo": annotated(subset="testing"),
}


def annotation_file(folder, database=None, name="activity_net.v1-3.min.json", encoding="utf-8"):
    content = {"version": "VERSION 1.3", "taxonomy": [], "database": DATABASE if database is None else database}
    return write(folder, {name: json.dumps(content, ensure_ascii=False).encode(encoding)}) / name


@pytest.fixture
def root(tmp_path):
    annotation_file(tmp_path)
    return touch(tmp_path / "videos", "train/v_-abc_def.mp4", "val/v_v_odd.mkv", "v_testvideo.webm")


def test_segments_are_items_in_seconds(root):
    """Ids may hold - and _, and only one leading v_ belongs to the name of the file."""
    items = by_id(imported("activitynet", root))
    assert list(items) == ["v_-abc_def/001", "v_-abc_def/002", "v_v_odd/000", "v_testvideo"]
    item = items["v_-abc_def/001"]
    assert (item.start, item.end, item.labels, item.path.name) == (1.5, 20.25, ("Washing hands",), "v_-abc_def.mp4")
    assert {items[name].group for name in list(items)[:2]} == {"v_-abc_def"}


def test_equal_segments_are_one_item_with_all_their_labels(root):
    assert by_id(imported("activitynet", root))["v_v_odd/000"].labels == ("Drinking", "Cleaning")


def test_empty_segments_are_left_out(root):
    """Published ones are [0, 0] in ZZVrH3Hv1fM, for example."""
    found = imported("activitynet", root)
    assert left_out(found) == {"v_-abc_def/000": "its segment [0, 0] is empty or begins before 0"}
    assert found.left_out[0].where.endswith("min.json, database.-abc_def.annotations[0]")


def test_the_testing_part_has_no_annotations(root):
    item = by_id(imported("activitynet", root))["v_testvideo"]
    assert (item.labels, item.splits, item.start, item.end) == ((), {"split": "test"}, None, None)


def test_whole_videos_have_all_labels(root):
    items = by_id(imported("activitynet", root, whole_videos=True))
    assert {name: item.labels for name, item in items.items()} == {
        "v_-abc_def": ("Washing hands", "Drinking"), "v_v_odd": ("Drinking", "Cleaning"), "v_testvideo": ()
    }  # fmt: skip
    assert items["v_v_odd"].splits == {"split": "val", "split_val": "test"}
    assert all(item.end is None for item in items.values())


def test_files_without_v_and_missing_files(tmp_path):
    annotation_file(tmp_path)
    found = imported("activitynet", touch(tmp_path / "videos", "-abc_def.mp4"))
    assert {item.path.name for item in found.items} == {"-abc_def.mp4"}
    assert left_out(found)["v_v_odd/000"] == "not found"


def test_latin_1_and_byte_order_mark(root):
    database = {"testvideo": annotated(("Café", (0, 1)))}
    for encoding in ("latin-1", "utf-8-sig"):
        path = annotation_file(root.parent, database, encoding=encoding)
        assert imported("activitynet", root, path).items[0].labels == ("Café",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"database":\n {"a": }}', r"min.json, line 2: this is not JSON: Expecting value"),
        ('{"videos": {}}', r"min.json has no 'database' with videos in it"),
        ("[]", r"min.json has no 'database' with videos in it"),
        ('{"database": {"a": {"subset": "train"}}}', r"database.a: subset is 'train'; allowed are training, vali"),
        ('{"database": {"a": []}}', r"database.a: subset is None; allowed are"),
        ('{"database": {"a": {"subset": "training", "annotations": {}}}}', r"annotations is {}; it must be a list"),
        ('{"database": {"a": {"subset": "training", "annotations": [{"label": "x", "segment": [1]}]}}}',
         r"database.a.annotations\[0\] is {.*}; it must have a label and a segment \[start, end\] in seconds"),
    ],
)  # fmt: skip
def test_wrong_annotations_are_refused_with_their_place(root, text, words):
    path = write(root.parent, {"bad/activity_net.v1-3.min.json": text}) / "bad"
    with pytest.raises(UsageError, match=words):
        imported("activitynet", root, path)


def test_two_versions_side_by_side_are_refused(root):
    annotation_file(root.parent, name="activity_net.v1-2.min.json")
    with pytest.raises(UsageError, match=r"has activity_net.v1-2.min.json, activity_net.v1-3.min.json. Give the one"):
        imported("activitynet", root)
    one = root.parent / "activity_net.v1-2.min.json"
    assert len(imported("activitynet", root, one).items) == 4
