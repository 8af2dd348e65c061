"""Still images against Pillow, and the words for files that are none."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.videos import cut_in_half
from vidfeat.errors import ItemError
from vidfeat.media import kind
from vidfeat.media.image import _is_cut, grey_levels, jpeg, load_image, read_image


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 256, (8, 12, 3), np.uint8), (60, 40))


def by_pillow(path):
    return np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.webp", "a.ppm", "é #'.JPEG"])
def test_formats(tmp_path, picture, name):
    path = tmp_path / name
    Image.fromarray(picture).save(path, **({"lossless": True} if name.endswith("webp") else {}))
    image = load_image(path)
    assert image.pixels.shape == (40, 60, 3)
    assert image.complaint == ""
    assert image.pixels.flags.c_contiguous
    # libjpeg builds differ by a level.
    assert np.abs(image.pixels.astype(int) - by_pillow(path)).max() <= (
        1 if name.lower().endswith(("jpg", "jpeg")) else 0
    )


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_modes(tmp_path, picture, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(picture).convert(mode).save(path)
    assert np.array_equal(read_image(path), by_pillow(path))


def test_cmyk_jpeg(tmp_path, picture):
    Image.fromarray(picture).convert("CMYK").save(tmp_path / "a.jpg", quality=98)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - by_pillow(tmp_path / "a.jpg")).max() <= 2


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_keep_the_upper_byte(tmp_path, channels):
    values = np.random.default_rng(0).integers(0, 65536, (20, 30, channels)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), values)
    expected = np.broadcast_to((values >> 8)[..., ::-1], (20, 30, 3))
    assert np.array_equal(read_image(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, picture, orientation):
    image = Image.fromarray(picture)
    exif = image.getexif()
    exif[0x112] = orientation
    image.save(tmp_path / "a.jpg", exif=exif.tobytes(), quality=98)
    got = read_image(tmp_path / "a.jpg")
    assert got.shape == ((40, 60, 3) if orientation < 5 else (60, 40, 3))
    assert np.abs(got.astype(int) - by_pillow(tmp_path / "a.jpg")).max() <= 1


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.webp"])
def test_half_an_image_is_an_error_or_a_complaint(tmp_path, picture, name):
    Image.fromarray(picture).save(tmp_path / name)
    half = cut_in_half(tmp_path / name, tmp_path / f"half-{name}")
    try:
        complaint = load_image(half).complaint
    except ItemError as error:
        assert "cannot be decoded as an image" in str(error)
    else:
        assert complaint == "the image data end too early"


def test_a_cut_is_seen_by_the_missing_end(tmp_path, picture):
    for name in ("a.png", "a.jpg"):
        Image.fromarray(picture).save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        assert not _is_cut(data)
        assert not _is_cut(data + b"\0\0")
        assert _is_cut(data[:-200])


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    for name, words in {
        "text.jpg": "cannot be decoded as an image; it is of another kind, or damaged",
        "empty.png": "is a file of 0 bytes",
        "folder.png": "is a directory, not an image file",
        "missing.png": "does not exist",
    }.items():
        with pytest.raises(ItemError, match=f"{name}' {words}"):
            read_image(tmp_path / name)


def test_kind():
    assert kind("x/a.MP4") == "video"
    assert kind("x/a.JPG") == "image"
    assert kind("x/audio.mp3") == kind("no_suffix") == "video"  # the decoder will say


def test_grey_is_the_luma_of_bt601(picture):
    expected = picture.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(grey_levels(picture) - expected).max() < 1  # rounded, in fixed point


def test_jpeg_is_grey_and_close(picture):
    levels = grey_levels(picture)
    read = np.asarray(Image.open(io.BytesIO(jpeg(levels))))
    assert read.shape == levels.shape
    assert np.abs(read.astype(int) - levels).mean() < 1
    assert len(jpeg(levels, 30)) < len(jpeg(levels))
