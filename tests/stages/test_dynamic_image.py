"""The dynamic-image stage: pictures of synthetic videos against their definition, places, failures."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from tolerances import FLOAT64
from videos import cut_in_half, grey_level, moving_picture, write_video

from vidfeat.errors import UsageError
from vidfeat.media.video import VideoReader
from vidfeat.report.dynamic_image import GAP
from vidfeat.stages import dynamic_image
from vidfeat.stages.config.report import DynamicImageConfig

LOSSLESS = {"codec": "ffv1", "pixel_format": "bgr0"}


def draw(inputs, output, **options):
    return dynamic_image.run(DynamicImageConfig([Path(path) for path in inputs], Path(output), **options))


def read(path: Path) -> np.ndarray:
    """[H, W, 3] uint8 RGB."""
    return cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]


def decoded(path: Path) -> np.ndarray:
    with VideoReader(path) as video:
        return np.stack([frame.image for frame in video.frames()]).astype(np.float64)


def definition(frames: np.ndarray, backwards: bool = False) -> np.ndarray:
    """Grey levels by plain loops, before rounding: a_t = 2(T−t+1) − (T+1)(h_T − h_{t−1}), then 0…255."""
    T = len(frames)
    h = [sum(1 / i for i in range(1, n + 1)) for n in range(T + 1)]
    weights = [2 * (T - t + 1) - (T + 1) * (h[T] - h[t - 1]) for t in range(1, T + 1)]
    d = sum(a * frame for a, frame in zip(weights[::-1] if backwards else weights, frames, strict=True))
    return (d - d.min()) / (d.max() - d.min()) * 255


def is_rounded(image: np.ndarray, levels: np.ndarray) -> bool:
    """Whether a picture has the nearest grey levels; of a half, either."""
    return bool(np.abs(image - levels).max() <= 0.5 + FLOAT64)


def reversed_picture(count):
    return lambda index, width, height: moving_picture(count - 1 - index, width, height)


def test_a_video_gives_the_picture_of_the_definition(tmp_path):
    video = write_video(tmp_path / "a b.mp4", 40)
    summary = draw([video], tmp_path / "p.PNG")
    assert is_rounded(read(tmp_path / "p.PNG"), definition(decoded(video)))
    assert summary.exit_code == 0
    facts = summary.as_dict()
    assert (facts["items"], facts["done"], facts["frames"], facts["failures"]) == (1, 1, 40, [])
    assert facts["pictures"] == [
        {"id": "a b.mp4", "picture": str(tmp_path / "p.PNG"), "frames": 40, "windows": [[0.0, 39 / 25]]}
    ]


def test_a_still_video_and_a_picture_are_grey(tmp_path, caplog):
    still = write_video(tmp_path / "still.mkv", 30, picture=lambda index, *size: moving_picture(0, *size), **LOSSLESS)
    cv2.imwrite(str(tmp_path / "photo.png"), moving_picture(0, 40, 30))
    draw([still, tmp_path / "photo.png"], tmp_path / "out")
    assert read(tmp_path / "out" / "still.mkv.png").shape == (48, 64, 3)
    for name in ("still.mkv.png", "photo.png.png"):
        assert (read(tmp_path / "out" / name) == 128).all()
    assert "photo.png has one frame, and so no motion" in caplog.text
    assert "still.mkv has one frame" not in caplog.text


def test_what_stands_still_has_one_shade(tmp_path):
    def blinking(index, width, height):
        image = moving_picture(0, width, height)
        image[:10, :10] = grey_level(index)
        return image

    draw([write_video(tmp_path / "v.mkv", 50, picture=blinking, **LOSSLESS)], tmp_path / "p.png")
    image = read(tmp_path / "p.png")
    assert len(np.unique(image[10:])) == 1
    assert image[0, 0, 0] != image[40, 40, 0]


def test_two_frames_reversed_give_the_negative_and_more_do_not(tmp_path):
    for count in (2, 30):
        for name, moving in (("forward", moving_picture), ("reverse", reversed_picture(count))):
            video = write_video(tmp_path / f"{name}{count}.mkv", count, picture=moving, **LOSSLESS)
            draw([video], tmp_path / f"{name}{count}.png")
    forward, reverse = (read(tmp_path / f"{name}2.png").astype(int) for name in ("forward", "reverse"))
    assert np.abs(forward + reverse - 255).max() <= 1  # halves are rounded
    frames = decoded(tmp_path / "forward30.mkv")
    reverse = read(tmp_path / "reverse30.png")
    assert is_rounded(reverse, definition(frames, backwards=True))
    assert np.abs(reverse - (255 - definition(frames))).max() > 20


def test_windows_stand_on_one_sheet_in_order(tmp_path):
    video = write_video(tmp_path / "v.mp4", 23)
    summary = draw([video], tmp_path / "p.png", window=10, hop=5)
    (entry,) = summary.as_dict()["pictures"]
    assert entry["windows"] == [[0.0, 0.36], [0.2, 0.56], [0.4, 0.76], [0.6, 0.88]]
    sheet, frames = read(tmp_path / "p.png"), decoded(video)
    assert sheet.shape == (2 * 48 + GAP, 2 * 64 + GAP, 3)
    for number, start in enumerate((0, 5, 10, 15)):
        top, left = number // 2 * (48 + GAP), number % 2 * (64 + GAP)
        assert is_rounded(sheet[top : top + 48, left : left + 64], definition(frames[start : start + 10]))
    by_default = draw([video], tmp_path / "q.png", window=10).as_dict()["pictures"][0]["windows"]
    assert by_default == [[0.0, 0.36], [0.4, 0.76], [0.8, 0.88]]


def test_sampling_segments_and_sizes(tmp_path):
    write_video(tmp_path / "v w.mp4", 50)
    (tmp_path / "set.csv").write_text("id,path,start,end\na/first,v w.mp4,0,1\na/second,v w.mp4,1,\n")
    facts = draw([tmp_path / "set.csv"], tmp_path / "out", size="40x20").as_dict()
    assert [(entry["id"], entry["frames"]) for entry in facts["pictures"]] == [("a/first", 25), ("a/second", 25)]
    assert read(tmp_path / "out" / "a" / "first.png").shape == (20, 40, 3)
    for options, frames, shape in [
        ({"fps": 5.0}, 10, (48, 64)),
        ({"num_frames": 7}, 7, (48, 64)),
        ({"stride": 4}, 13, (48, 64)),
        ({"max_seconds": 1.0, "size": "24"}, 25, (24, 32)),
    ]:
        facts = draw([tmp_path / "v w.mp4"], tmp_path / "p.png", **options).as_dict()
        assert facts["frames"] == frames
        assert read(tmp_path / "p.png").shape[:2] == shape


def test_one_bad_file_does_not_stop_the_batch(tmp_path):
    folder, output = tmp_path / "set", tmp_path / "out"
    names = ["- a#1'é.mp4", "b/c d.mp4", "b/e.mp4"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(folder / name, 20)
    (folder / "b" / "bad.mp4").write_bytes(b"no video" * 1000)
    cut_in_half(write_video(tmp_path / "whole.avi", 100, codec="mpeg4"), folder / "cut.avi")
    summary = draw([folder], output)
    facts = summary.as_dict()
    assert summary.exit_code == 1
    assert (facts["done"], facts["truncated"], facts["failed"]) == (3, 1, 1)
    with (tmp_path / "out.failures.csv").open() as file:
        assert [(row["id"], row["state"]) for row in csv.DictReader(file)] == [("b/bad.mp4", "failed")]
    written = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert written == {"%2D a#1'é.mp4.png", "b/c d.mp4.png", "b/e.mp4.png", "cut.avi.png"}

    (folder / "b" / "bad.mp4").unlink()
    before = (output / "b" / "e.mp4.png").read_bytes()
    (output / "b" / "e.mp4.png").write_bytes(b"old")
    assert draw([folder], output).exit_code == 0
    assert (output / "b" / "e.mp4.png").read_bytes() == before
    assert not (tmp_path / "out.failures.csv").exists()


def test_a_picture_too_large_fails_alone(tmp_path, monkeypatch):
    for name, count in (("short", 8), ("long", 40)):
        write_video(tmp_path / f"{name}.mp4", count)
    monkeypatch.setattr("vidfeat.report.dynamic_image.MAX_SHEET_PIXELS", 6 * 64 * 48)
    summary = draw([tmp_path / "short.mp4", tmp_path / "long.mp4"], tmp_path / "out", window=4)
    assert [(f["id"], f["state"]) for f in summary.as_dict()["failures"]] == [("long.mp4", "failed")]
    assert "7 windows of 64x48" in summary.as_dict()["failures"][0]["reason"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["short.mp4.png"]


def test_decoding_in_a_child_gives_the_same(tmp_path):
    video = write_video(tmp_path / "v.mp4", 20)
    draw([video], tmp_path / "a.png")
    draw([video], tmp_path / "b.png", timeout=60.0)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_real_video(real_videos, tmp_path):
    video = real_videos / "mpeg4_320x240.avi"
    draw([video], tmp_path / "p.png")
    assert is_rounded(read(tmp_path / "p.png"), definition(decoded(video)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 0}, "--window is 0; it must be above 0"),
        ({"window": 1}, "--window is 1; a dynamic image shows change, for which it takes 2 frames"),
        ({"hop": 5}, "--hop 5 came without --window"),
        ({"window": 5, "hop": -1}, "--hop is -1; it must be above 0"),
        ({"size": "320 x 240"}, "--size is '320 x 240'; it must be the shorter side in pixels, such as 256, or WxH"),
        ({"size": "0"}, "--size is '0'"),
        ({"size": "320x0"}, "--size is '320x0'"),
        ({"fps": 0.0}, "--fps is 0.0; it must be above 0"),
        ({"fps": 5.0, "stride": 2}, "fps and stride were both given"),
    ],
)
def test_wrong_options_are_refused_with_words(tmp_path, options, words):
    video = write_video(tmp_path / "v.mp4", 2)
    with pytest.raises(UsageError, match=words):
        draw([video], tmp_path / "p.png", **options)


def test_wrong_places_are_refused_with_words(tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    one, two = (write_video(clips / name, 2) for name in ("1.mp4", "2.mp4"))
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), moving_picture(0, 40, 30))
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for inputs, output, words in [
        ([one], tmp_path / "p.jpg", "has the suffix '.jpg'; pictures are written as .png"),
        ([one], tmp_path / "no" / "p.png", "The folder .* does not exist. Create it first"),
        ([one, two], tmp_path / "p.png", "is one picture, but there are 2 items. Name a folder"),
        ([one], tmp_path / "folder.png", "is a folder; give the name of a picture"),
        ([one, two], tmp_path / "file", "is a file. End it in .png for one picture, or name a folder"),
        ([clips], clips / "out", "lies in the input folder .*, so the next run would take its pictures"),
        ([clips], clips, "lies in the input folder"),
        ([photo], photo, "would replace its own source"),
        ([tmp_path / "none.mp4"], tmp_path / "p.png", "none.mp4' does not exist"),
    ]:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(UsageError, match=words):
            draw(inputs, output)
        assert sorted(tmp_path.rglob("*")) == before
