"""``report correspondence`` and ``report patches``: features made by hand, and whole runs on small images."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tolerances import FLOAT32, SAME_FEATURES
from videos import write_video

from vidfeat.datasets.items import Item
from vidfeat.errors import ItemError, UsageError
from vidfeat.report.patches import GAP, MARGIN, Grid
from vidfeat.stages import correspondence, patches
from vidfeat.stages.config.patches import CorrespondenceConfig, PatchesConfig
from vidfeat.stages.correspondence import rebuild
from vidfeat.stages.local_frames import LocalFrame, cell_features
from vidfeat.stages.patches import draw_cells

NETWORK = {"backbone": "squeezenet1_1", "layer": "features.3", "weights": "none", "size": 32, "device": "cpu"}
CELLS = 7  # in a row of the maps of features.3 at 32 pixels
SCALE = 7  # by which pictures of 32 pixels are enlarged for their headings


def correspond(target, references, output, **options):
    """A run that may replace an older picture, unless told not to."""
    options = {"overwrite": True, **options}
    paths = [Path(path) for path in references]
    return correspondence.run(CorrespondenceConfig(Path(target), paths, Path(output), **{**NETWORK, **options}))


def cluster(inputs, output, **options):
    options = {"overwrite": True, **options}
    return patches.run(PatchesConfig([Path(path) for path in inputs], Path(output), **{**NETWORK, **options}))


def write_picture(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels[..., ::-1])
    return path


def noise(seed, size=32):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def columns_of(path, count):
    """The pictures of 32 pixels in the last row of a correspondence sheet."""
    sheet = cv2.imread(str(path))[..., ::-1]
    side = 32 * SCALE
    last = sheet[-MARGIN - side : -MARGIN]
    return [last[::SCALE, MARGIN + i * (side + GAP) : MARGIN + i * (side + GAP) + side : SCALE] for i in range(count)]


def frame(name, pixels, features, source=None):
    features = np.asarray(features, np.float32)
    return LocalFrame(Item(name, Path(name)), Path(source or name), 0, 0.0, pixels, {"conv": features})


def levels(*values):
    """A picture of 4 pixels with 2×2 patches of these grey levels."""
    return np.repeat(np.kron(np.reshape(values, (2, 2)), np.ones((2, 2)))[..., None], 3, axis=2).astype(np.uint8)


EYE = np.eye(4)


def test_cells_are_the_columns_row_after_row_with_norm_one():
    maps = np.arange(2 * 3 * 2 * 4, dtype=np.float32).reshape(2, 3, 2, 4)
    maps[1, :, 1, 2] = 0
    rows = cell_features(maps)
    assert (rows.shape, rows.dtype, rows.flags.c_contiguous) == ((2, 8, 3), np.float32, True)
    column = maps[0, :, 1, 3]
    assert np.allclose(rows[0, 7], column / np.linalg.norm(column), atol=FLOAT32)
    assert (rows[1, 6] == 0).all()
    norms = np.linalg.norm(np.delete(rows.reshape(-1, 3), 8 + 6, axis=0), axis=1)
    assert np.allclose(norms, 1, atol=FLOAT32)
    assert (cell_features(maps.astype(np.float16)) == rows).all()


def test_identical_features_are_found_and_averages_are_right():
    grid = Grid(4, 2, 2)
    target = frame("t.png", levels(1, 2, 3, 4), EYE)
    swapped = frame("a.png", levels(10, 20, 30, 40), EYE[[1, 0, 3, 2]])
    near = frame("b.png", levels(50, 60, 70, 80), 0.9 * EYE)
    (one, zero), (two, mean) = rebuild(grid, "conv", target, [swapped, near], [1, 2], "cpu")
    assert (one == levels(20, 10, 40, 30)).all()
    assert zero == 0
    assert (two == levels(35, 35, 55, 55)).all()  # (20 + 50)/2, (10 + 60)/2, (40 + 70)/2, (30 + 80)/2
    assert abs(mean - 0.05) < FLOAT32


def test_what_comes_from_the_target_itself_never_counts():
    grid = Grid(4, 2, 2)
    target = frame("t.png", levels(1, 2, 3, 4), EYE)
    own = frame("other name.png", levels(5, 6, 7, 8), EYE, source="t.png")
    other = frame("a.png", levels(10, 20, 30, 40), np.full((4, 4), 0.5))
    ((picture, _),) = rebuild(grid, "conv", target, [own, other], [4], "cpu")
    assert (picture == levels(25, 25, 25, 25)).all()
    with pytest.raises(UsageError, match=r"--neighbours is 1,5, but there are 4 patches of conv for t.png, as its own"):
        rebuild(grid, "conv", target, [own, other], [1, 5], "cpu")


def test_cells_are_drawn_from_all_sources_in_turn():
    some, none = np.ones((6, 3), np.float32), np.zeros((6, 3), np.float32)
    sources = [[some, none], [some], [none], [some, some, some]]
    drawn = draw_cells(sources, 9, seed=0)
    assert len(set(map(tuple, drawn))) == 9
    assert [source for source, _, _ in drawn[:3]] == [source for source, _, _ in drawn[3:6]]
    assert {source for source, _, _ in drawn} == {0, 1, 3}  # cells without features are not drawn
    assert all(sources[source][number][cell].any() for source, number, cell in drawn)
    assert draw_cells(sources, 9, seed=0) == drawn != draw_cells(sources, 9, seed=1)
    assert len(draw_cells(sources, 100, seed=0)) == 6 + 6 + 18


def test_a_copy_gives_the_picture_itself(tmp_path):
    target = write_picture(tmp_path / "t.png", noise(0))
    write_picture(tmp_path / "refs" / "copy.png", noise(0))
    write_picture(tmp_path / "refs" / "other.png", noise(1))
    summary = correspond(target, [tmp_path / "refs"], tmp_path / "out.png", neighbours="1,3")
    shown, one, three = columns_of(tmp_path / "out.png", 3)
    assert (shown == noise(0)).all()
    assert (one == noise(0)).all()
    assert (three != noise(0)).any()
    facts = summary.as_dict()
    assert summary.exit_code == 0
    assert (facts["items"], facts["done"], facts["references"]) == (3, 3, 2)
    assert facts["layers"] == {"features.3": [128, CELLS, CELLS]}
    ((distances),) = [entry["distances"]["features.3"] for entry in facts["targets"]]
    assert distances["1"] < SAME_FEATURES < distances["3"]
    assert facts["targets"][0]["id"] == "t.png"


def test_the_own_picture_among_the_references_is_left_out(tmp_path):
    folder = tmp_path / "set"
    write_picture(folder / "a.png", noise(0))
    write_picture(folder / "b.png", np.full((32, 32, 3), 77, np.uint8))
    correspond(folder / "a.png", [folder], tmp_path / "out.png", neighbours="1")
    shown, one = columns_of(tmp_path / "out.png", 2)
    assert (shown == noise(0)).all()
    assert (one == 77).all()
    (folder / "link.png").symlink_to(folder / "a.png")
    correspond(folder / "link.png", [folder / "a.png", folder / "b.png"], tmp_path / "out.png", neighbours="1")
    assert (columns_of(tmp_path / "out.png", 2)[1] == 77).all()


def test_frames_of_videos_and_several_layers(tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", 20)
    facts = correspond(
        tmp_path / "a.mp4", [tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "out.png", frames=4, target_frames=2,
        layer="features.3, features.6", neighbours="1",
    ).as_dict()  # fmt: skip
    assert facts["references"] == 8
    assert [entry["frame"] for entry in facts["targets"]] == [5, 15]
    assert list(facts["layers"]) == ["features.3", "features.6"]
    assert columns_of(tmp_path / "out.png", 3)[0].shape == (32, 32, 3)


def test_clusters_have_one_patch_of_each_other_picture(tmp_path):
    for number in range(4):
        write_picture(tmp_path / "set" / f"{number}.png", noise(number % 3))  # 0 and 3 are alike
    write_video(tmp_path / "set" / "v.mp4", 20)
    summary = cluster([tmp_path / "set"], tmp_path / "out.png", references=10, frames=3)
    rows = summary.as_dict()["references"]["features.3"]
    assert (len(rows), summary.exit_code) == (10, 0)
    for row in rows:
        assert sorted([row["id"], *(near["id"] for near in row["nearest"])]) == [
            "0.png", "1.png", "2.png", "3.png", "v.mp4",
        ]  # fmt: skip
        distances = [near["distance"] for near in row["nearest"]]
        assert distances == sorted(distances)
        if row["id"] == "0.png":
            best = row["nearest"][0]
            assert (best["id"], best["cell"]) == ("3.png", row["cell"])
            assert best["distance"] < SAME_FEATURES
    assert {row["id"] for row in rows} == {"0.png", "1.png", "2.png", "3.png", "v.mp4"}
    again = cluster([tmp_path / "set"], tmp_path / "again.png", references=10, frames=3).as_dict()
    assert again["references"] == summary.as_dict()["references"]
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out.png").read_bytes()
    fewer = cluster([tmp_path / "set"], tmp_path / "out.png", references=2, neighbours=3, seed=1).as_dict()
    assert [len(row["nearest"]) for row in fewer["references"]["features.3"]] == [3, 3]
    json.dumps(fewer)


def test_a_bad_file_is_listed_and_the_rest_is_drawn(tmp_path):
    for number in range(2):
        write_picture(tmp_path / "set" / f"{number}.png", noise(number))
    (tmp_path / "set" / "bad.mp4").write_text("text")
    summary = cluster([tmp_path / "set"], tmp_path / "out.png", references=2)
    assert (summary.exit_code, summary.as_dict()["failed"]) == (1, 1)
    assert "bad.mp4,failed" in (tmp_path / "out.png.failures.csv").read_text()
    assert correspond(tmp_path / "set" / "0.png", [tmp_path / "set"], tmp_path / "c.png").exit_code == 1

    before = (tmp_path / "out.png").read_bytes()
    (tmp_path / "set" / "0.png").write_text("text")
    with pytest.raises(ItemError, match=r"Only 1 of the images and videos could be read, and patches are compared"):
        cluster([tmp_path / "set"], tmp_path / "out.png")
    with pytest.raises(ItemError, match=r"No target could be read, so nothing is drawn; .*png.failures.csv says why"):
        correspond(tmp_path / "set" / "0.png", [tmp_path / "set"], tmp_path / "out.png")
    with pytest.raises(ItemError, match=r"No reference could be read"):
        correspond(tmp_path / "set" / "1.png", [tmp_path / "set" / "0.png"], tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == before


def test_a_target_that_failed_does_not_hide_a_reference_of_its_name(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_text("text")
    write_picture(tmp_path / "a" / "y.png", noise(0))
    write_picture(tmp_path / "b" / "x.png", noise(1))
    facts = correspond(tmp_path / "a", [tmp_path / "b"], tmp_path / "out.png").as_dict()
    assert (facts["done"], facts["failed"], facts["references"]) == (2, 1, 1)


@pytest.fixture
def pair(tmp_path):
    for number in range(2):
        write_picture(tmp_path / "set" / f"{number}.png", noise(number))
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "classifier.1:pre"}, "does not end in a ReLU"),
        ({"layer": "avgpool"}, r"--layer avgpool of squeezenet1_1 gives 1000 numbers for a picture, .* C×H×W"),
        ({"layer": " , "}, "--layer is empty; name a layer"),
        ({"layer": "conv9"}, "squeezenet1_1 has no layer 'conv9'"),
        ({"frames": 0}, "--frames is 0; it must be above 0"),
        (
            {"memory": 1e-6},
            r"Up to 2 pictures of 2 items with features.3 take .* GB, more than the 1e-06 GB of",
        ),
        ({"device": "cpu,cpu"}, "--device cpu,cpu names several devices; name one"),
        ({"references": 0}, "--references is 0"),
        ({"references": 99}, f"--references is 99, but only {2 * CELLS**2} patches have features of features.3"),
        ({"references": 10**7}, "more than the 100 million of one picture; lower --references or --neighbours"),
        ({"neighbours": 2}, "--neighbours is 2, but each of 2 images or videos has 1 other, with one patch of each"),
        ({"seed": -1}, "--seed is -1; it must be 0 or more"),
    ],
)
def test_wrong_patches_are_refused_with_words(pair, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        cluster([pair], tmp_path / "out.png", **options)
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"neighbours": "0,5"}, "--neighbours is '0,5'; it must be a whole number, 1 or more, or several"),
        ({"neighbours": "1,"}, "--neighbours is '1,'"),
        ({"neighbours": "5, 5"}, "--neighbours 5, 5 names a number twice"),
        ({"neighbours": "99"}, f"there are {CELLS**2} patches of features.3 for 0.png, as its own do not count"),
        ({"target_frames": 0}, "--target-frames is 0"),
        ({"size": 6000}, "more than the 100 million of one picture; lower --target-frames or --size"),
        ({"memory": 1e-6}, "lower --size, name fewer layers or inputs, or raise --memory"),
    ],
)
def test_wrong_correspondences_are_refused_with_words(pair, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        correspond(pair / "0.png", [pair], tmp_path / "out.png", **options)


def test_too_many_frames_are_refused_by_name(pair, tmp_path):
    write_video(pair / "v.mp4", 3)
    with pytest.raises(UsageError, match=r"Up to 1000002 pictures of 3 items .* lower --frames, which is 1000000"):
        cluster([pair], tmp_path / "out.png", frames=10**6)


def test_pictures_are_replaced_only_on_demand(pair, tmp_path):
    output = tmp_path / "out.png"
    cluster([pair], output, overwrite=False)
    before = output.read_bytes()
    words = r"out\.png exists already\. Choose another output, or --overwrite to replace it"
    with pytest.raises(UsageError, match=words):
        cluster([pair], output, overwrite=False)
    with pytest.raises(UsageError, match=words):
        correspond(pair / "0.png", [pair], output, overwrite=False)
    assert output.read_bytes() == before
    correspond(pair / "0.png", [pair], output)
    assert output.read_bytes() != before


def test_wrong_places_are_refused_with_words(pair, tmp_path):
    def refused(words, output):
        with pytest.raises(UsageError, match=words):
            cluster([pair], output)
        with pytest.raises(UsageError, match=words):
            correspond(pair / "0.png", [pair], output)

    refused("has the suffix '.jpg'; the picture is written as .png", tmp_path / "out.jpg")
    refused("has no suffix; the picture is written as .png", tmp_path / "out")
    refused("The folder .* of the output out.png does not exist", tmp_path / "no" / "out.png")
    refused("lies in the input folder", pair / "out.png")
    (tmp_path / "text.png").write_text("notes")
    refused("text.png is there and is no PNG picture. Choose another output", tmp_path / "text.png")
    assert (tmp_path / "text.png").read_text() == "notes"
    (tmp_path / "folder.png").mkdir()
    refused("folder.png is a folder", tmp_path / "folder.png")
    with pytest.raises(UsageError, match=r"would replace its own source"):
        correspond(pair / "0.png", [pair / "1.png"], pair / "1.png")
    with pytest.raises(UsageError, match=r"The only reference of 0.png is 0.png itself"):
        correspond(pair / "0.png", [pair / "0.png"], tmp_path / "out.png")
    with pytest.raises(UsageError, match=r"The only image or video is 0.png, and patches are compared with those of"):
        cluster([pair / "0.png"], tmp_path / "out.png")
