"""From several sets of codes to the plot, on the command line."""

import json

import numpy as np
import pytest
from invoke import vidfeat

from vidfeat.store import CodesWriter


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    """Two classes; the codes of C=1 tell them apart, those of the others do not."""
    path = tmp_path_factory.mktemp("codes") / "codes.h5"
    random = np.random.Generator(np.random.PCG64(0))
    with CodesWriter(path, {}) as writer:
        for number in range(16):
            sets = {f"C={value}": random.standard_normal(4) for value in ("0.1", "10")}
            sets["C=1"] = np.eye(4)[number % 2] + 0.1 * random.standard_normal(4)
            split = {"split": "train" if number < 8 else "test"}
            errors = dict(zip(sets, (0.4, 0.1, 0.2), strict=True))
            writer.append(f"v{number:02d}", sets, ("ab"[number % 2],), f"g{number // 2}", split, order_error=errors)
    return path


def test_from_sets_to_the_plot(codes, tmp_path):
    trained = vidfeat("svm", "train", codes, "-o", tmp_path / "RUN", "--C", "1")
    assert trained.exit_code == 0, trained.stderr
    assert "set C=1: the best of 3 by cross-validation" in trained.stdout
    drawn = vidfeat("report", "sensitivity", tmp_path / "RUN", "-o", tmp_path / "C.png")
    assert drawn.exit_code == 0, drawn.stderr
    assert "C.png" in drawn.stdout
    assert (tmp_path / "C.png").stat().st_size > 10_000
    facts = json.loads(vidfeat("report", "sensitivity", tmp_path / "RUN", "-o", tmp_path / "C.svg", "--json").stdout)
    assert facts["runs"] == [{"run": "RUN", "values of C": 3, "chosen C": 1.0}]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["svm", "train", "{codes}", "-o", "{folder}/R", "--set", "C=3"], "no set 'C=3'; it has C=0.1, C=1, C=10."),
        (["report", "sensitivity", "{folder}", "-o", "{folder}/C.png"], "is not a run: it has no sensitivity.json"),
        (["report", "sensitivity", "RUN", "-o", "C.jpg"], "has the suffix '.jpg'; allowed are .png, .svg, .pdf"),
        (["report", "sensitivity"], "Missing RUN..., --output"),
    ],
)
def test_wrong_usage_exits_2_with_words(codes, tmp_path, command, words):
    result = vidfeat(*(part.format(codes=codes, folder=tmp_path) for part in command))
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_help_says_what_chooses():
    text = " ".join(vidfeat("svm", "train", "--help").stdout.split())
    assert "it is for looking (vidfeat report sensitivity), not for choosing" in text
    text = " ".join(vidfeat("report", "sensitivity", "--help").stdout.split())
    assert "for looking only" in text
