"""``frames`` and ``report retrieval`` on the command line, and all that lies between them."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from invoke import vidfeat

ROOT = Path(__file__).resolve().parent.parent.parent
NETWORK = "--backbone squeezenet1_1 --weights none --size 32 --device cpu --threads 1 --warp".split()


def done(*arguments):
    result = vidfeat(*arguments, "-q")
    assert result.exit_code == 0, result.stderr
    return result


def test_from_videos_to_the_plot(clips, tmp_path):
    """The steps of examples/layer_study.sh, with a small network and few frames."""
    out = tmp_path / "a folder"
    out.mkdir()
    done("frames", clips / "a", "-o", out / "train", "--num-frames", 4)
    done("frames", clips / "b", clips / "c", "-o", out / "search", "--num-frames", 3, "--size", 48)
    train, search = out / "train" / "frames.csv", out / "search" / "frames.csv"
    layers = ["--layers", "features.1,features.3", "--input-scales", "1,2"]
    done("extract", train, "-o", out / "maps.h5", *NETWORK, *layers)
    names, books, found = ["features.1", "features.3", "features.1@64", "features.3@64"], [], []
    for name in names:
        book = out / f"{name}.book.h5"
        done("codebook", "train", out / "maps.h5", "--feature", name, "--kind", "vlad", "--words", 3, "-o", book)
        books += ["--encode", book]
    done("extract", train, search, "-o", out / "vlad.h5", *NETWORK, *layers, *books)
    for name in names:
        codes, pca, small = (out / f"{name}.{kind}.h5" for kind in ("codes", "pca", "small"))
        done("encode", out / "vlad.h5", "--feature", f"code.{name}.vlad", "-o", codes)
        done("codebook", "train", codes, "--kind", "pca", "--components", 5, "--manifest", train, "-o", pca)
        done("codebook", "apply", pca, codes, "-o", small)
        for searched in (codes, small):
            found.append(out / searched.stem)
            done("retrieve", searched, "--protocol", "labels", "--manifest", search, "-o", found[-1])
    drawn = done("report", "retrieval", *found, "-o", out / "layers.png", "--json")
    facts = json.loads(drawn.stdout)
    assert facts["layers"] == ["features.1", "features.3"]
    assert facts["task"] == "12 queries against 12 items, protocol labels"
    rows = [(row["layer"], row["input"], row["reduced"], row["dimension"]) for row in facts["results"]]
    width = {"features.1": 3 * 64, "features.3": 3 * 128}
    assert rows == [
        (layer, size, reduced, 5 if reduced else width[layer])
        for layer in width for size in ("32", "64") for reduced in (False, True)
    ]  # fmt: skip
    refused = vidfeat("report", "retrieval", *found, "-o", out / "layers.png")
    assert (
        refused.exit_code == 2 and "layers.png exists already. Choose another output, or --overwrite" in refused.stderr
    )
    table = vidfeat("report", "retrieval", *found, "-o", out / "layers.png", "--overwrite").stdout
    assert "name" in table and "hit@1" in table and "layers.png." in table
    assert (out / "layers.png").stat().st_size > 10_000


def test_frames_failures_and_exit_codes(clips, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("text")
    result = vidfeat("frames", bad, clips / "a" / "v0.mp4", "-o", tmp_path / "out", "--num-frames", 2)
    assert result.exit_code == 1
    assert "1 done, 1 failed. 2 frames in" in result.stdout
    assert f"All of them are listed in {tmp_path}/out/frames.csv." in result.stdout
    assert "Reasons of the 1 without pictures" in result.stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["frames"], "Missing IN..., --output"),
        (["frames", "nowhere.mp4", "-o", "x"], "Input 'nowhere.mp4' does not exist"),
        (["frames", "x.mp4", "-o", "x.png"], "a folder of pictures is written"),
        (["frames", "x.mp4", "-o", "x", "--num-frames", "0"], "--num-frames is 0; it must be above 0"),
        (["report", "retrieval"], "Missing OUT..., --output"),
        (
            ["report", "retrieval", "nowhere", "-o", "l.png"],
            "nowhere does not exist; give folders of 'vidfeat retrieve",
        ),
        (["report", "retrieval", "OUT", "-o", "l.gif"], "has the suffix '.gif'; allowed are .png, .svg, .pdf"),
    ],
)
def test_wrong_usage_exits_2_with_words(command, words):
    result = vidfeat(*command)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_the_example_is_a_shell_script_of_commands_that_exist():
    script = ROOT / "examples" / "layer_study.sh"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    text = re.sub(r"^\s*#.*$", "", script.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("vidfeat ")]
    assert len(lines) >= 9
    for line in lines:
        words = line.split()
        command = words[1:3] if words[1] in ("codebook", "report") else words[1:2]
        known = vidfeat(*command, "--help").stdout
        for flag in {word for word in words if word.startswith("--")}:
            assert flag in known, line
    refused = subprocess.run(["bash", script, "--backbone", "lenet"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "--backbone is lenet; allowed are googlenet, vgg16." in refused.stderr
