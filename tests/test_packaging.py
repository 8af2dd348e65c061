"""What `pip install` and `make` stand on, checked without installing anything."""

import os
import subprocess
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def make(*arguments, path=None):
    environment = {**os.environ, **({} if path is None else {"PATH": path})}
    environment.pop("MAKEFLAGS", None)
    return subprocess.run(
        ["/usr/bin/env", "make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def test_every_folder_of_modules_is_a_package():
    """setuptools leaves a folder without __init__.py out of the wheel."""
    folders = {path.parent for path in (ROOT / "vidfeat").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_the_package_holds_nothing_but_python():
    """Other files would need package-data to get into the wheel."""
    other = [
        p for p in (ROOT / "vidfeat").rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc", ".nbi", ".nbc")
    ]
    assert other == []


def test_the_console_script_exists_and_the_version_is_one():
    (script,) = PROJECT["scripts"].items()
    assert script[0] == "vidfeat"
    module, function = script[1].split(":")
    assert callable(getattr(import_module(module), function))
    assert import_module("vidfeat").__version__ == PROJECT["version"]
    assert set(PROJECT["optional-dependencies"]) == {"dev", "bench", "train"}


def test_licence():
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


@pytest.mark.parametrize("target", ["demo", "test", "lint", "format", "bench", "wheel-test", "clean"])
def test_make_targets(target):
    done = make("-n", target)
    assert done.returncode == 0, done.stderr


def test_make_installs_first_and_elsewhere(tmp_path):
    lines = make("-n", "test", f"VENV={tmp_path}/v").stdout
    steps = (f'-m venv "{tmp_path}/v"', "-m pip install", 'ruff" check', 'ruff" format --check', "-m pytest")
    places = [lines.find(step) for step in steps]
    assert -1 not in places and places == sorted(places)
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / ".vidfeat-installed").write_text("")
    assert "pip install" not in make("-n", "test", f"VENV={tmp_path}/v").stdout


def fake(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_make_names_what_is_missing(tmp_path):
    done = make("check-python", f"PYTHON={tmp_path}/python9")
    assert done.returncode == 2 and "install Python 3.11 or newer, or name one: make PYTHON=" in done.stderr

    old = fake(tmp_path, "old", '[ "$1" = --version ] && echo Python 3.10.4; exit 1')
    done = make("check-python", f"PYTHON={old}")
    assert done.returncode == 2 and "is Python 3.10.4; Python 3.11 or newer is needed." in done.stderr

    bare = fake(tmp_path, "bare", 'case "$2" in *ensurepip*) exit 1;; esac')
    done = make("check-python", f"PYTHON={bare}")
    assert done.returncode == 2 and "apt-get install python3-venv" in done.stderr

    # A PATH with make and a shell but no compiler.
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("make", "sh", "env", "nproc"):
        found = next((p for p in (Path("/usr/bin") / name, Path("/bin") / name) if p.exists()), None)
        if found:
            (tools / name).symlink_to(found)
    done = make("check-compiler", path=str(tools))
    assert done.returncode == 2 and "no C++ compiler" in done.stderr and "apt-get install g++" in done.stderr
    assert make("check-compiler").returncode == 0


def test_ci_script_is_valid_and_strict():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()
    assert subprocess.run(["bash", "-n", script]).returncode == 0
