"""``vidfeat report correspondence`` and ``vidfeat report patches`` on the command line."""

import json

import pytest
from invoke import vidfeat
from videos import write_video

FLAGS = "--backbone squeezenet1_1 --layer features.3 --weights none --size 32 --device cpu --frames 2".split()


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name in ("a b", "c", "d"):
        write_video(folder / f"{name}.mp4", 12)
    return folder


def test_correspondence(videos, tmp_path):
    done = vidfeat("report", "correspondence", videos / "a b.mp4", videos, "-o", tmp_path / "c.png", *FLAGS)
    assert done.exit_code == 0, done.stderr
    assert "c.png: 1 row, rebuilt from 6 frames; 4 done. 7 frames in" in done.stdout
    assert "features.3, 1 nearest" in done.stdout
    assert "a b.mp4" in done.stdout
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_patches_with_options_from_a_config_file(videos, tmp_path):
    (tmp_path / "c.toml").write_text("[report.patches]\nreferences = 3\nneighbours = 1\n")
    flags = ["-o", tmp_path / "p.png", *FLAGS, "--config", tmp_path / "c.toml"]
    done = vidfeat("report", "patches", videos, *flags, "--json")
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)["references"]["features.3"]
    assert [len(row["nearest"]) for row in rows] == [1, 1, 1]
    (videos / "bad.mp4").write_text("text")
    failed = vidfeat("report", "patches", videos, *flags, "--overwrite")
    (videos / "bad.mp4").unlink()
    assert failed.exit_code == 1
    assert "p.png: 3 rows of features.3; 3 done, 1 failed. 6 frames in" in failed.stdout
    assert "Reasons of the 1 without patches" in failed.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["correspondence"], "Missing TARGET, REFERENCES..., --output"),
        (["correspondence", "x.mp4"], "Missing REFERENCES..., --output"),
        (["correspondence", "nowhere.mp4", "x.mp4", "-o", "c.png"], "Input 'nowhere.mp4' does not exist"),
        (["patches"], "Missing IN..., --output"),
        (["patches", "x.mp4", "-o", "p.gif"], "--output p.gif has the suffix '.gif'; the picture is written as .png"),
        (["patches", "nowhere.mp4", "-o", "p.png"], "Input 'nowhere.mp4' does not exist"),
    ],
)
def test_wrong_usage_exits_2_with_words(arguments, words):
    result = vidfeat("report", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_nothing_readable_exits_1(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("text")
    result = vidfeat("report", "patches", tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "p.png", *FLAGS)
    assert result.exit_code == 1
    assert "Only 0 of the images and videos could be read" in result.stderr
    assert "a.png,failed" in (tmp_path / "p.png.failures.csv").read_text()
