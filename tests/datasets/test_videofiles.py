"""Which file on disk a listed name stands for."""

import os

import pytest
from miniature import touch

from vidfeat.datasets.videofiles import VideoFiles, stem_of


def found(root, name, *, folders=(), any_case=False):
    path, reason = VideoFiles(root, any_case).find(name, folders)
    return reason if path is None else path.relative_to(root).as_posix()


@pytest.mark.parametrize("place", ["c/v.avi", "UCF-101/c/v.avi", "v.avi", "all/v.avi", "c/v.mp4", "x/y/v.MKV"])
def test_any_layout_and_any_suffix(tmp_path, place):
    touch(tmp_path, place, "c/w.avi", "c/v.txt")
    assert found(tmp_path, "c/v.avi") == place


def test_the_likeliest_of_several_is_taken(tmp_path):
    touch(tmp_path, "copy/c/v.mp4", "copy/v.avi", "deep/er/c/v.avi")
    assert found(tmp_path, "c/v.avi") == "deep/er/c/v.avi", "its own folder comes first"
    touch(tmp_path, "c/v.avi")
    assert found(tmp_path, "c/v.avi") == "c/v.avi", "then the shorter path"


def test_two_equal_ones_are_no_answer(tmp_path):
    touch(tmp_path, "train/v.avi", "val/v.avi")
    assert found(tmp_path, "v.avi") == "2 files could be it: train/v.avi, val/v.avi"


def test_a_file_of_the_same_name_in_another_class_is_another_video(tmp_path):
    touch(tmp_path, "climb_stairs/v.avi")
    assert found(tmp_path, "climb/v.avi", folders={"climb", "climb_stairs"}) == "not found"


def test_case_counts_unless_the_data_set_mixes_it(tmp_path):
    """Ids of YouTube differ in case alone; UCF101's lists and files differ in case by mistake."""
    touch(tmp_path, "HandStandPushups/v_HandstandPushups_g01_c01.avi")
    name = "HandstandPushups/v_HandStandPushups_g01_c01.avi"
    assert found(tmp_path, name) == "not found"
    assert found(tmp_path, name, any_case=True) == "HandStandPushups/v_HandstandPushups_g01_c01.avi"


def test_a_folder_stands_for_its_one_video(tmp_path):
    touch(tmp_path, "a/Diving-Side/001/7608-9_70(2)151.avi", "a/Diving-Side/001/x.jpg", "a/Lifting/001/y.avi")
    assert found(tmp_path, "Diving-Side/001/") == "a/Diving-Side/001/7608-9_70(2)151.avi"
    assert found(tmp_path, "Diving-Side/002/") == "not found"


def test_frames_without_a_video_are_said(tmp_path):
    touch(tmp_path, *(f"Diving-Side/008/{k}.jpg" for k in range(3)), *(f"f/c/v/{k}.png" for k in range(2)))
    assert found(tmp_path, "Diving-Side/008/").startswith("no video, only 3 pictures in Diving-Side/008; join them")
    assert found(tmp_path, "c/v.avi").startswith("no video, only 2 pictures in f/c/v; join them")


def test_names_in_other_encodings_are_found(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.avi")).touch()
    touch(tmp_path, "e\u0301t\u00e9.avi")
    files = VideoFiles(tmp_path)
    path, _ = files.find("café.avi")
    assert os.fsencode(path.name) == b"caf\xe9.avi"
    assert files.find("été.avi")[0].exists()


def test_hidden_names_broken_links_and_loops_are_passed_over(tmp_path):
    touch(tmp_path / "set", "real.avi", ".hidden.avi", ".cache/v.avi")
    (tmp_path / "set" / "broken.avi").symlink_to("nowhere.avi")
    (tmp_path / "set" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "linked.avi").symlink_to("real.avi")
    files = VideoFiles(tmp_path / "set")
    assert files.count == 2
    assert [files.find(name)[1] for name in ("hidden.avi", "broken.avi", "v.avi")] == ["not found"] * 3
    assert files.find("linked.avi")[0] == tmp_path / "set" / "linked.avi"


def test_dots_belong_to_names_unless_they_begin_a_suffix():
    assert [stem_of(name) for name in ("a.b.avi", "a.b", "v_-.x", "A.MP4")] == ["a.b", "a.b", "v_-.x", "A"]
