"""``svm train`` with several codes files and kernels, and LIBSVM text, on the command line."""

import json

import pytest
from invoke import vidfeat


@pytest.fixture(scope="module")
def two(features, codes, tmp_path_factory):
    other = tmp_path_factory.mktemp("codes") / "max.h5"
    assert vidfeat("encode", features, "-o", other, "--method", "max").exit_code == 0
    return [codes, other]


def test_a_sum_of_kernels_of_several_files(two, tmp_path):
    flags = ["--leave-one-group-out", "--kernel", "rbf", "--C", "1", "--class_weights", "balanced", "--probabilities"]
    result = vidfeat("svm", "train", *two, "-o", tmp_path / "R", *flags)
    assert result.exit_code == 0, result.stderr
    assert "C = 1, kernel rbf, γ = " in result.stdout and ", balanced class weights" in result.stdout
    again = vidfeat("svm", "predict", tmp_path / "R", *two, "-o", tmp_path / "p.csv", "--json")
    assert json.loads(again.stdout)["items"] == 6
    refused = vidfeat("svm", "predict", tmp_path / "R", two[0], "-o", tmp_path / "p.csv")
    assert (refused.exit_code, "1 codes file came; the run was trained on 2" in refused.stderr) == (2, True)
    shown = vidfeat("svm", "eval", tmp_path / "R", "--bootstrap", "20").stdout
    assert "kernel rbf" in shown
    linear = vidfeat("svm", "train", two[0], "-o", tmp_path / "L", "--leave-one-group-out", "--solver", "liblinear",
                     "--C", "1")  # fmt: skip
    assert "by LIBLINEAR" in linear.stdout


def test_libsvm_text_out_and_in(two, tmp_path):
    out = vidfeat("export", two[0], "--form", "libsvm", "-o", tmp_path / "c.txt")
    assert (out.exit_code, out.stdout.strip().endswith("c.txt: 6 codes.")) == (0, True)
    back = vidfeat("import", tmp_path / "c.txt", "--kind", "libsvm", "-o", tmp_path / "c.h5")
    assert (back.exit_code, "6 items" in back.stdout) == (0, True)
    trained = vidfeat("svm", "train", tmp_path / "c.h5", "-o", tmp_path / "R", "--leave-one-group-out", "--C", "1")
    assert trained.exit_code == 0, trained.stderr
    for flags, words in ((["--fps", "5"], "have no effect with --kind libsvm"), ([tmp_path / "x"], "takes one file")):
        refused = vidfeat("import", tmp_path / "c.txt", *flags, "--kind", "libsvm", "-o", tmp_path / "d.h5")
        assert (refused.exit_code, words in refused.stderr) == (2, True)
