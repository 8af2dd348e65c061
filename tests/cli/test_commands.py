"""The command line as documentation and contract: help, config files, JSON, exit codes, words of errors."""

import dataclasses
import json
import signal
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from invoke import vidfeat
from small import SMALL_FLAGS

from vidfeat import __version__
from vidfeat.cli.command import _tables
from vidfeat.interrupt import Interrupted
from vidfeat.stages.config.dataset import DatasetConfig
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.config.end2end import End2EndPredictConfig, End2EndTrainConfig
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.config.files import ExportConfig
from vidfeat.stages.config.flow import FlowConfig
from vidfeat.stages.config.frame_folders import FrameFoldersConfig
from vidfeat.stages.config.fusion import CompareConfig, FuseConfig
from vidfeat.stages.config.mkl import MklTrainConfig
from vidfeat.stages.config.options import flag_of
from vidfeat.stages.config.patches import CorrespondenceConfig, PatchesConfig
from vidfeat.stages.config.report import DynamicImageConfig, FlowReportConfig
from vidfeat.stages.config.retrieval_report import RetrievalReportConfig
from vidfeat.stages.config.scores import PerClassConfig, RunsReportConfig
from vidfeat.stages.config.sensitivity import SensitivityConfig
from vidfeat.stages.config.svm import SvmTrainConfig

ROOT = Path(__file__).resolve().parent.parent.parent
# All that are registered, so that none can be forgotten here.
COMMANDS = sorted(table.replace(".", " ") for table in _tables)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_is_in_the_readme(command):
    result = vidfeat(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Example:" in result.stdout
    first = command.split()[0]
    assert f"`{first}" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("command", "config"),
    [("extract", ExtractConfig), ("encode", EncodeConfig), ("svm train", SvmTrainConfig), ("mkl train", MklTrainConfig),
     ("report dynamic-image", DynamicImageConfig), ("report sensitivity", SensitivityConfig), ("flow", FlowConfig),
     ("report correspondence", CorrespondenceConfig), ("report patches", PatchesConfig),
     ("report flow", FlowReportConfig), ("export", ExportConfig),
     ("frames", FrameFoldersConfig), ("report retrieval", RetrievalReportConfig), ("dataset", DatasetConfig),
     ("fuse", FuseConfig), ("compare", CompareConfig), ("report runs", RunsReportConfig),
     ("report per-class", PerClassConfig),
     ("end2end train", End2EndTrainConfig), ("end2end predict", End2EndPredictConfig)],
)  # fmt: skip
def test_help_names_every_option_of_the_config(command, config):
    text = vidfeat(*command.split(), "--help").stdout
    for field in dataclasses.fields(config):
        if not field.metadata["argument"]:
            assert flag_of(field.name) in text
    # Typer gets its defaults from the dataclass; this finds a field that the builder would drop.
    assert len(typing.get_type_hints(config)) == len(dataclasses.fields(config))


def test_help_and_version_do_not_import_heavy_packages():
    script = (
        "import sys\nsys.argv = ['vidfeat', 'extract', '--help']\n"
        "from vidfeat.cli.main import app\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'cv2', 'av', 'h5py', 'sklearn', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert vidfeat("--version").stdout == f"vidfeat {__version__}\n"


def test_json_is_on_stdout_and_messages_are_not(clips, features):
    result = vidfeat("extract", clips, "-o", features, *SMALL_FLAGS, "--json")
    facts = json.loads(result.stdout)
    assert (facts["skipped"], facts["failed"]) == (6, 0)
    assert "6 finished before" in result.stderr
    quiet = vidfeat("extract", clips, "-o", features, *SMALL_FLAGS, "-q")
    assert (quiet.exit_code, quiet.stderr) == (0, "")


def test_a_config_file_is_overridden_only_by_typed_flags(clips, features, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(
        '[extract]\nbackbone = "squeezenet1_1"\nlayers = "avgpool"\nweights = "none"\nsize = 32\ndevice = "cpu"\n'
        'threads = 1\nfps = 5\n[svm.train]\nC = "1"\n'
    )
    refused = vidfeat("extract", clips, "-o", features, "--config", config)
    assert refused.exit_code == 2
    assert "fps: not set there, 5.0 here" in refused.stderr
    accepted = vidfeat("extract", clips, "-o", tmp_path / "f.h5", "--config", config, "--fps", "25", "--json")
    assert accepted.exit_code == 0
    assert json.loads(accepted.stdout)["frames"] == 104


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[extract]\nbackbon = "alexnet"\n', "has no option 'backbon'; allowed are inputs, output, fps"),
        ('[extract]\nbackbon = "alexnet"\n', "dry-run. Did you mean 'backbone'?"),
        ('[extract]\ninputs = "x.mp4"\n', "inputs is 'x.mp4', a str; it must be a list, such as ['a', 'b']"),
        ('[extract]\nfps = "six"\n', "fps is 'six', a str; it must be a float"),
        ('[extract]\nprecision = "fp8"\n', "precision is 'fp8'; allowed are fp32, tf32, bf16, fp16"),
        ("[extract\n", "Cannot read --config"),
        (
            "[extrakt]\nfps = 6\n",
            "has the table [extrakt]; allowed are the tables codebook.apply, codebook.info",
        ),
        ("fps = 6\n", "has the key 'fps' outside of a table"),
        ("svm = 3\n", "has the key 'svm' outside of a table"),
        ("extract = 3\n", "has the key 'extract' outside of a table"),
        ("[svm]\nC = 1\n", "has the key 'svm.C' outside of a table"),
        ("[svm.trian]\nC = 1\n", "has the table [svm.trian]; allowed are"),
    ],
)
def test_wrong_config_files_are_refused_with_words(tmp_path, text, words):
    config = tmp_path / "c.toml"
    config.write_text(text)
    result = vidfeat("extract", "x.mp4", "-o", "y.h5", "--config", config)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_config_file_for_other_commands_only_is_said(features, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text("[svm.train]\nC = 10\n")
    result = vidfeat("info", features, "--config", config)
    assert result.exit_code == 0
    assert "has no table [info]; no option was taken from it" in result.stderr


@pytest.mark.parametrize(("number", "C"), [("10", 10.0), ("0.5", 0.5), ('"2"', 2.0)])
def test_numbers_in_a_config_file_are_taken_where_a_text_may_be_one(codes, tmp_path, number, C):
    config = tmp_path / "c.toml"
    config.write_text(f"[svm.train]\nC = {number}\nleave-one-group-out = true\n")
    result = vidfeat("svm", "train", codes, "-o", tmp_path / "R", "--config", config, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["C"] == C


def test_a_config_file_that_is_not_there_is_named_once(tmp_path):
    result = vidfeat("info", "x.h5", "--config", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert result.stderr.endswith(f"Cannot read --config {tmp_path / 'none.toml'}: No such file or directory.\n")


def test_square_brackets_in_help_are_shown(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert "(pip install vidfeat[train])" in vidfeat("end2end", "train", "--help").stdout


def test_help_of_mkl_eval_names_its_own_runs():
    assert "'vidfeat mkl train'" in vidfeat("mkl", "eval", "--help").stdout


def test_underscores_in_flags_are_accepted(clips, features):
    result = vidfeat("extract", clips, "-o", features, *SMALL_FLAGS, "--batch_size", "4", "--decode_threads", "2")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["extract"], "Missing IN..., --output: 'vidfeat extract --help' shows how to give it."),
        (["svm", "train"], "Missing CODES..., --output: 'vidfeat svm train --help' shows"),
        (["extract", "nowhere.mp4", "-o", "f.h5"], "nowhere.mp4"),
        (["encode", "nowhere.h5", "-o", "c.h5"], "nowhere.h5 does not exist"),
        (["svm", "train", "nowhere.h5", "-o", "R"], "nowhere.h5"),
        (["verify", "nowhere.h5"], "nowhere.h5"),
        (["info", "README.md"], "is not an HDF5 file. Make one with 'vidfeat extract ... -o feats.h5'"),
        (["svm", "eval", "README.md"], "README.md is a file, not the folder of a run"),
        (["layers", "alexnett"], "alexnet"),
        (["extract", "README.md", "-o", "f.h5", "--warp", "--ten-crop"], "--warp and --ten-crop contradict"),
        (["extract", "README.md", "-o", "f.h5", "--fps", "0"], "--fps is 0.0; it must be above 0"),
        (["extract", "README.md", "-o", "f.h5", "--fps", "nan"], "--fps is nan"),
        (["predict", "nowhere", "x.mp4"], "nowhere is not a run"),
    ],
)
def test_wrong_usage_exits_2_with_words(arguments, words):
    result = vidfeat(*arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [("extract",), ("flow",), ("extract", "--dry-run"), ("flow", "--dry-run")])
def test_an_output_that_is_another_file_is_left_as_it_is(clips, tmp_path, command):
    video = tmp_path / "x.mp4"
    video.write_bytes((clips / "a" / "v0.mp4").read_bytes())
    result = vidfeat(*command, clips, "-o", video)  # the default network has no weights here: that comes later
    assert result.exit_code == 2
    assert "x.mp4 exists and is no features file; it is left as it is. Choose another name, such as x.h5" in (
        " ".join(result.stderr.split())
    )
    assert video.read_bytes() == (clips / "a" / "v0.mp4").read_bytes()
    result = vidfeat(*command, clips, "-o", tmp_path)
    assert result.exit_code == 2 and "is a folder, but a file is expected, such as" in " ".join(result.stderr.split())


def test_unknown_options_and_commands_exit_2():
    assert vidfeat("extract", "x", "-o", "y", "--frames-per-second", "3").exit_code == 2
    assert vidfeat("extrakt").exit_code == 2


def test_failures_exit_1_and_are_listed(clips, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("text")
    result = vidfeat("extract", bad, clips / "a" / "v0.mp4", "-o", tmp_path / "f.h5", *SMALL_FLAGS)
    assert result.exit_code == 1
    assert "Reasons of the 1 without features" in result.stdout
    assert "bad.mp4" in (tmp_path / "f.h5.failures.csv").read_text()


def test_a_bug_exits_3_and_says_so(clips, tmp_path, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("vidfeat.stages.extract.select_items", broken)
    result = vidfeat("extract", clips, "-o", tmp_path / "f.h5", *SMALL_FLAGS)
    assert result.exit_code == 3
    assert "ZeroDivisionError: oops. This is a bug of vidfeat" in result.stderr


def test_log_file_holds_the_messages(clips, features, tmp_path):
    vidfeat("extract", clips, "-o", features, *SMALL_FLAGS, "-q", "--log", tmp_path / "run.log")
    assert "6 finished before" in (tmp_path / "run.log").read_text()
    assert vidfeat("info", features, "--log", tmp_path / "no" / "run.log").exit_code == 2
    assert vidfeat("info", features, "--log", tmp_path / "run.log").exit_code == 0  # appended
    before = features.read_bytes()
    refused = vidfeat("info", features, "--log", features)
    assert refused.exit_code == 2 and "it does not begin as a log of vidfeat does" in refused.stderr
    assert features.read_bytes() == before


def test_info_verify_diff_export_import_on_the_command_line(features, tmp_path):
    facts = json.loads(vidfeat("info", features, "--json").stdout)
    assert facts["items"] == 6
    assert "items: 6" in vidfeat("info", features).stdout
    assert "nothing wrong" in vidfeat("verify", features).stdout
    damaged = tmp_path / "damaged.h5"
    content = bytearray(features.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    result = vidfeat("verify", features, damaged)
    assert result.exit_code == 1
    assert "damaged.h5" in result.stdout
    assert vidfeat("diff", features, features).exit_code == 0
    assert vidfeat("export", features, "-o", tmp_path / "npy").exit_code == 0
    assert (
        vidfeat("import", tmp_path / "npy" / "avgpool", "-o", tmp_path / "back.h5", "--feature", "avgpool").exit_code
        == 0
    )
    result = vidfeat("diff", features, tmp_path / "back.h5", "--json")
    assert result.exit_code == 1  # times and labels are not in .npy files, the numbers are
    assert json.loads(result.stdout)["largest difference"]["avgpool"].startswith("0 ")
    encoded = vidfeat("encode", features, "-o", tmp_path / "c.h5")
    assert encoded.exit_code == 0
    assert "6 codes of 1000 numbers" in encoded.stdout
    assert json.loads(vidfeat("info", tmp_path / "c.h5", "--json").stdout)["kind"] == "codes"


def test_codes_in_place_of_features_are_not_sent_to_import(codes):
    for command in (["verify", codes], ["encode", codes, "-o", "c.h5"]):
        result = vidfeat(*command)
        assert result.exit_code == 2
        assert "Give the file of 'vidfeat extract' or 'vidfeat flow' that it was made from" in result.stderr


def test_layers_lists_names_and_shapes():
    text = vidfeat("layers", "alexnet").stdout
    assert "fc7" in text
    assert "256×13×13" in text
    assert "resnet50" in vidfeat("layers").stdout


def test_svm_eval_of_several_runs_is_one_table(codes, tmp_path):
    for name in ("one", "two"):
        flags = ["--leave-one-group-out", "--C", "1", "-q"]
        assert vidfeat("svm", "train", codes, "-o", tmp_path / name, *flags).exit_code == 0
    alone = vidfeat("svm", "eval", tmp_path / "one", "--bootstrap", "50").stdout.splitlines()
    assert alone[1].split() == ["figure", "value", "95", "%", "interval"]
    both = vidfeat("svm", "eval", tmp_path / "one", tmp_path / "two", "--bootstrap", "50").stdout.splitlines()
    assert both[0].split("  ") == ["run", "accuracy", "95 % interval", "mean per class accuracy"]
    assert [line.split()[0] for line in both[1:]] == ["one", "two"]
    found = json.loads(vidfeat("svm", "eval", tmp_path / "one", tmp_path / "two", "--json").stdout)["runs"]
    assert [entry["accuracy"] for entry in found] == [found[0]["accuracy"]] * 2
    low, high = found[0]["intervals"]["accuracy"]
    assert low <= found[0]["accuracy"] <= high


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["extract", "x.mp4", "-o", "f.h5"], "the same command goes on from there"),
        (["flow", "x.mp4", "-o", "f.h5"], "the same command goes on from there"),
        (["demo"], "the same command goes on from there"),
        (["encode", "f.h5", "-o", "c.h5"], "Stopped: interrupted by SIGINT; nothing half-written is left."),
    ],
)
def test_only_commands_that_resume_say_so_after_ctrl_c(monkeypatch, command, words):
    def stopped(config):
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(f"vidfeat.stages.{command[0]}.run", stopped)
    result = vidfeat(*command)
    assert result.exit_code == 130
    assert words in " ".join(result.stderr.split())
