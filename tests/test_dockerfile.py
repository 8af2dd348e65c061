"""The form of the Dockerfile, which cannot be built where the tests run."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def instructions(text):
    """(keyword, rest) of every instruction, continued lines joined, comments dropped."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n", " ", lines)
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def steps():
    return instructions((ROOT / "Dockerfile").read_text())


def values(steps, keyword):
    return [rest for name, rest in steps if name == keyword]


def test_known_instructions_only(steps):
    assert {name for name, _ in steps} <= {"ARG", "FROM", "RUN", "ENV", "WORKDIR", "COPY", "USER", "ENTRYPOINT", "CMD"}


def test_cpu_base_by_default_and_another_by_argument(steps):
    assert steps[0] == ("ARG", "BASE=python:3.12-slim") and steps[1] == ("FROM", "${BASE}")
    assert "--build-arg BASE=" in (ROOT / "Dockerfile").read_text()


def test_it_says_that_it_was_not_built():
    assert "This image was not built" in (ROOT / "Dockerfile").read_text()


def test_sources_exist_and_are_let_through(steps):
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for rest in values(steps, "COPY"):
        *sources, _ = rest.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source in allowed, f"{source} is kept out by .dockerignore"


def test_everything_the_build_reads_is_copied_before(steps):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    before = steps[: next(i for i, step in enumerate(steps) if step[0] == "RUN" and "pip install ." in step[1])]
    copied = " ".join(values(before, "COPY")).split()
    assert {"pyproject.toml", "vidfeat", project["readme"], "LICENSE"} <= set(copied)


def test_run_steps_are_shell(steps):
    for step in values(steps, "RUN"):
        assert subprocess.run(["sh", "-n", "-c", step]).returncode == 0, step
        if "apt-get install" in step:
            assert step.startswith("apt-get update") and "-y --no-install-recommends" in step
            assert step.rstrip().endswith("rm -rf /var/lib/apt/lists/*")


def test_runs_as_an_ordinary_user_and_starts_vidfeat(steps):
    names = [name for name, _ in steps]
    assert values(steps, "USER") == ["vidfeat"]
    assert names.index("USER") > max(i for i, name in enumerate(names) if name == "RUN")
    assert any(re.search(r"useradd .*\bvidfeat$", step) for step in values(steps, "RUN"))
    assert values(steps, "ENTRYPOINT") == ['["vidfeat"]']


def test_environment_is_on_the_path(steps):
    (folder,) = re.findall(r"python3 -m venv (\S+)", " ".join(values(steps, "RUN")))
    assert any(f"PATH={folder}/bin:" in rest for rest in values(steps, "ENV"))
