"""The recipes under examples/: each is run with a stand-in for ``vidfeat``, and every command in it must be valid."""

import os
import subprocess
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from typer.testing import CliRunner

from vidfeat.cli import command
from vidfeat.cli.main import app
from vidfeat.stages.summary import Summary

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted(path.stem for path in (ROOT / "examples").glob("*.sh"))
SETS = {"ucf101", "hmdb51", "jhmdb", "ucf_sports", "hollywood2", "activitynet", "kinetics", "sports1m"}


def commands(recipe: str, folder: Path) -> list[list[str]]:
    """What the script calls ``vidfeat`` with, in order."""
    log = folder / "log"
    stand_in = folder / "bin" / "vidfeat"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" >>'{log}'\nprintf '\\n\\0' >>'{log}'\n")
    stand_in.chmod(0o755)
    environment = {**os.environ, "PATH": f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}"}
    arguments = ["a set", "out"] if recipe == "actions" else ["the videos", "the lists", "out folder"]
    script = ["bash", str(ROOT / "examples" / f"{recipe}.sh"), *arguments]
    done = subprocess.run(script, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split("\0")[:-1] for line in log.read_text().split("\n\0")[:-1]]


def accepts(arguments: list[str], monkeypatch) -> str:
    """Empty if the command line parses and its options agree with one another; else the error."""
    stages = MagicMock()
    stages.import_module.return_value.configure_mock(
        **{name: lambda config: Summary({}) for name in ("run", "train", "evaluate")}
    )
    monkeypatch.setattr(command, "importlib", stages)
    result = CliRunner().invoke(app, [*arguments, "--json"])
    return "" if result.exit_code == 0 else result.output + result.stderr


def test_there_is_a_recipe_for_every_data_set():
    assert set(RECIPES) >= SETS


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_script_is_bash(recipe):
    done = subprocess.run(
        ["bash", "-n", ROOT / "examples" / f"{recipe}.sh"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("recipe", sorted(SETS | {"actions"}))
def test_every_command_and_option_in_it_exists(recipe, tmp_path, monkeypatch):
    given = commands(recipe, tmp_path)
    assert [error for arguments in given if (error := accepts(arguments, monkeypatch))] == []
    if recipe in SETS:
        names = [" ".join(arguments[: 2 if arguments[0] == "svm" else 1]) for arguments in given]
        assert list(dict.fromkeys(names)) == ["dataset", "extract", "encode", "svm train", "svm eval"]
        assert given[0][:3] == ["dataset", recipe.replace("_", "-"), "the videos"]
        assert given[0][given[0].index("--splits") + 1] == "the lists", "names with spaces stay whole"


def test_a_wrong_option_is_noticed(monkeypatch):
    assert "No such option" in accepts(["dataset", "ucf101", "v", "-o", "s.csv", "--split", "x"], monkeypatch)
    assert "must end in .csv" in accepts(["dataset", "ucf101", "v", "-o", "s"], monkeypatch)
    assert accepts(["dataset", "ucf101", "v", "-o", "s.csv"], monkeypatch) == ""
