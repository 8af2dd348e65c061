"""Frames of videos as folders of pictures, and their manifest."""

import cv2
import numpy as np
import pytest
from videos import write_video

from vidfeat.datasets.listing import list_items
from vidfeat.errors import UsageError
from vidfeat.media.image import read_image
from vidfeat.media.sampling import Sampling
from vidfeat.media.video import VideoReader
from vidfeat.stages import frames
from vidfeat.stages.config.frame_folders import FrameFoldersConfig


def write(inputs, output, **options):
    return frames.run(FrameFoldersConfig(inputs=inputs, output=output, **options))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos with a space")
    for name, count in (("a/v.mp4", 12), ("b/v.mp4", 7)):
        (folder / name).parent.mkdir()
        write_video(folder / name, count, width=48, height=32)
    return folder


def test_pictures_are_the_frames_themselves(videos, tmp_path):
    summary = write([videos], tmp_path / "out", num_frames=3)
    assert (summary.exit_code, summary.facts["done"], summary.facts["frames"]) == (0, 2, 6)
    with VideoReader(videos / "a" / "v.mp4") as video:
        wanted = {frame.index: frame.image for frame in video.frames(Sampling(num_frames=3))}
    folder = tmp_path / "out" / "a" / "v.mp4"
    assert sorted(path.name for path in folder.iterdir()) == ["000002.png", "000006.png", "000010.png"]
    for index, pixels in wanted.items():
        np.testing.assert_array_equal(read_image(folder / f"{index:06}.png"), pixels)


def test_the_manifest_labels_frames_by_their_video(videos, tmp_path):
    facts = write([videos], tmp_path / "out", num_frames=2).facts
    listed = list_items([tmp_path / "out" / "frames.csv"])
    assert facts["manifest"] == str(tmp_path / "out" / "frames.csv")
    assert not listed.missing
    assert {item.id: (item.labels, item.group) for item in listed.items} == {
        f"{video}/{number:06}.png": ((video,), video)
        for video, numbers in (("a/v.mp4", (3, 9)), ("b/v.mp4", (1, 5)))
        for number in numbers
    }
    # The folder itself has the same ids, so that features of either can be relabelled by the manifest.
    assert [item.id for item in list_items([tmp_path / "out"]).items] == [item.id for item in listed.items]


def test_frames_are_resized_and_segments_have_folders_of_their_own(videos, tmp_path):
    (tmp_path / "set.csv").write_text(f"id,path,start,end\nfirst,{videos}/a/v.mp4,0,0.2\nrest,{videos}/a/v.mp4,0.2,\n")
    facts = write([tmp_path / "set.csv"], tmp_path / "out", size="20x10").facts
    assert {entry["id"]: entry["frames"] for entry in facts["pictures"]} == {"first": 5, "rest": 7}
    assert read_image(tmp_path / "out" / "rest" / "000005.png").shape == (10, 20, 3)


def test_images_become_a_folder_of_one(tmp_path):
    cv2.imwrite(str(tmp_path / "still.png"), np.full((8, 8, 3), 99, np.uint8))
    facts = write([tmp_path / "still.png"], tmp_path / "out").facts
    assert [path.name for path in (tmp_path / "out" / "still.png").iterdir()] == ["000000.png"]
    assert facts["frames"] == 1


def test_what_fails_is_listed_and_leaves_nothing(videos, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("text")
    summary = write([bad, videos / "a" / "v.mp4"], tmp_path / "out", num_frames=1)
    assert (summary.exit_code, summary.facts["failed"]) == (1, 1)
    assert "bad.mp4" in (tmp_path / "out.failures.csv").read_text()
    assert "bad.mp4" not in (tmp_path / "out" / "frames.csv").read_text()
    assert not list((tmp_path / "out").rglob("*bad*"))
    alone = write([bad], tmp_path / "none")
    assert (alone.exit_code, alone.facts["manifest"]) == (1, None)


def test_a_second_run_replaces_only_when_told(videos, tmp_path):
    write([videos], tmp_path / "out", num_frames=4)
    with pytest.raises(UsageError, match=r"out exists already\. Choose another folder, or --overwrite"):
        write([videos], tmp_path / "out", num_frames=1)
    write([videos], tmp_path / "out", num_frames=1, overwrite=True)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 2
    assert len((tmp_path / "out" / "frames.csv").read_text().splitlines()) == 3
    (tmp_path / "out" / "a" / "v.mp4" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds 'notes\.txt', which vidfeat does not write"):
        write([videos], tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "frames.csv").exists()


def test_a_run_that_breaks_off_leaves_whole_folders_and_no_manifest(videos, tmp_path, monkeypatch):
    write([videos], tmp_path / "out", num_frames=4)
    add, calls = frames._Writer._add, []

    def stop_at_the_second(self, chunk):
        calls.append(chunk.item_id)
        add(self, chunk)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(frames._Writer, "_add", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        write([videos], tmp_path / "out", num_frames=2, overwrite=True)
    assert not (tmp_path / "out" / "frames.csv").exists()
    assert not list((tmp_path / "out").rglob(".*"))
    for video in "ab":
        assert len(list((tmp_path / "out" / video / "v.mp4").iterdir())) in (2, 4)


@pytest.mark.parametrize("name", ["out.png", "out.csv", "v.mp4"])
def test_names_of_files_are_refused_as_folders(name):
    with pytest.raises(UsageError, match=r"but a folder of pictures is written\. Name a folder"):
        FrameFoldersConfig(inputs=[], output=frames.Path(name))


def test_places_that_would_harm_are_refused(videos, tmp_path):
    with pytest.raises(UsageError, match="lies in the input folder"):
        write([videos], videos / "frames")
    with pytest.raises(UsageError, match=r"does not exist\. Create it first"):
        write([videos], tmp_path / "no" / "frames")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"is a file\. Name a folder"):
        write([videos], tmp_path / "file")
    with pytest.raises(UsageError, match="--size is 'big'"):
        FrameFoldersConfig(inputs=[videos], output=tmp_path / "x", size="big")
