"""``vidfeat report dynamic-image`` on the command line."""

import json

import pytest
from invoke import vidfeat
from videos import write_video


def draw(*arguments):
    return vidfeat("report", "dynamic-image", *arguments)


def test_pictures_failures_and_exit_codes(tmp_path):
    video = write_video(tmp_path / "a b.mp4", 20)
    (tmp_path / "bad.mp4").write_text("text")
    done = draw(video, "-o", tmp_path / "p.png", "--window", "10", "--json")
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["done"], len(facts["pictures"][0]["windows"])) == (1, 2)
    failed = draw(video, tmp_path / "bad.mp4", "-o", tmp_path / "out")
    assert failed.exit_code == 1
    assert "1 done, 1 failed. 20 frames in" in failed.stdout
    assert "Reasons of the 1 without a picture" in failed.stdout
    assert "bad.mp4" in (tmp_path / "out.failures.csv").read_text()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a b.mp4.png"]


def test_options_from_a_config_file(tmp_path):
    video = write_video(tmp_path / "v.mp4", 20)
    (tmp_path / "c.toml").write_text("[report.dynamic-image]\nwindow = 5\nsize = 24\n")
    done = draw(video, "-o", tmp_path / "p.png", "--config", tmp_path / "c.toml", "--json")
    assert done.exit_code == 0, done.stderr
    assert len(json.loads(done.stdout)["pictures"][0]["windows"]) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing IN..., --output"),
        (["x.mp4", "-o", "p.png", "--hop", "3"], "--hop 3 came without --window"),
        (["x.mp4", "-o", "p.gif"], "pictures are written as .png"),
        (["nowhere.mp4", "-o", "p.png"], "Input 'nowhere.mp4' does not exist"),
    ],
)
def test_wrong_usage_exits_2_with_words(arguments, words):
    result = draw(*arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
