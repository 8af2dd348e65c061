"""Still pictures of items: images, middles of videos and of their segments."""

import cv2
import numpy as np
import pytest
from videos import write_video

from vidfeat.errors import ItemError, UsageError
from vidfeat.media.video import VideoReader
from vidfeat.stages.shots import ItemPictures, Source, middle_frame
from vidfeat.store import FeatureWriter


@pytest.fixture
def film(tmp_path):
    (tmp_path / "a b").mkdir()
    return write_video(tmp_path / "a b" / "film.mp4", 200)


def frame(path, index):
    with VideoReader(path) as video:
        return next(frame.image for frame in video.frames() if frame.index == index)


def test_the_middle_of_a_video_and_of_a_segment(film):
    assert (middle_frame(Source(film)) == frame(film, 100)).all()
    assert (middle_frame(Source(film, 1.0, 3.0)) == frame(film, 50)).all()
    assert (middle_frame(Source(film, 6.0)) == frame(film, 175)).all()
    assert (middle_frame(Source(film, None, 2.0)) == frame(film, 25)).all()


def test_an_end_that_the_video_does_not_reach(film):
    """A container may promise more than there is: then frames are counted."""
    assert (middle_frame(Source(film, 6.0, 100.0)) == frame(film, 175)).all()
    with pytest.raises(ItemError, match="has no frame there"):
        middle_frame(Source(film, 50.0, 60.0))


def test_pictures_from_a_folder(tmp_path, film):
    cv2.imwrite(str(tmp_path / "é.png"), np.full((4, 6, 3), 7, np.uint8))
    pictures = ItemPictures(tmp_path)
    assert pictures.picture("é.png").shape == (4, 6, 3)
    assert pictures.picture("a b/film.mp4").shape == (48, 64, 3)
    with pytest.raises(ItemError, match=r"there is no file .*x\.png"):
        pictures.picture("x.png")
    with pytest.raises(UsageError, match="nowhere does not exist; name a folder, or a features file"):
        ItemPictures(tmp_path / "nowhere")


def test_pictures_by_the_paths_of_a_features_file(tmp_path, film):
    writer = FeatureWriter(tmp_path / "f.h5", {}, {})
    for item_id, attrs in {
        "cut": {"path": str(film), "start": 1.0, "end": 3.0},
        "gone": {"path": "/nowhere/x.mp4"},
        "whole": {"path": str(film)},
    }.items():
        item = writer.item(item_id)
        item.append("fc7", np.ones((1, 2), np.float32))
        item.append("time", np.zeros(1))
        item.append("frame", np.zeros(1, np.int64))
        item.finish({**attrs, "size": 1, "mtime": 0.0, "state": "done"}, labels=(), group="", splits={})
    writer.close()
    pictures = ItemPictures(tmp_path / "f.h5")
    assert (pictures.picture("cut") == frame(film, 50)).all()
    assert (pictures.picture("whole") == frame(film, 100)).all()
    with pytest.raises(ItemError, match=r"there is no file /nowhere/x\.mp4 by .*f\.h5"):
        pictures.picture("gone")
    with pytest.raises(ItemError, match=r"there is no file 'other' in .*f\.h5"):
        pictures.picture("other")
