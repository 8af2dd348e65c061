import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import kernel
from vidfeat.compiled import has_machine_code
before = has_machine_code(kernel.twice)
print(kernel.twice(21), kernel.twice.stats.cache_path)
print(before, has_machine_code(kernel.twice))
"""
KERNEL = """
from vidfeat.compiled import compiled

@compiled()
def twice(x):
    return 2 * x
"""


def answer(folder: Path, **environment: str) -> list[str]:
    root = str(Path(__file__).parent.parent)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), root]), "PYTHONDONTWRITEBYTECODE": "1"}
    variables.pop("NUMBA_CACHE_DIR", None)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**variables, **environment}, capture_output=True, text=True, check=True
    )
    return [*run.stdout.splitlines()[0].split(maxsplit=1), run.stdout.splitlines()[1]]


@pytest.fixture
def installed(tmp_path):
    folder = tmp_path / "an installation"
    folder.mkdir()
    (folder / "kernel.py").write_text(KERNEL)
    return folder


def test_machine_code_is_kept_beside_the_source(installed):
    value, place, had = answer(installed)
    assert value == "42"
    assert Path(place).is_relative_to(installed)
    assert list(installed.glob("__pycache__/compiled-*/**/*.nbc"))
    assert had == "False True"
    assert answer(installed)[2] == "True True"


def test_another_state_of_any_source_of_the_package_is_compiled_anew(installed):
    """Numba itself looks only at the file of the function that is called."""
    (installed / "inner.py").write_text(KERNEL.replace("twice", "inner"))
    (installed / "kernel.py").write_text(KERNEL.replace("2 * x", "inner(x)") + "from inner import inner\n")
    assert answer(installed)[0] == "42"
    (installed / "inner.py").write_text(KERNEL.replace("twice", "inner").replace("2 * x", "300 * x"))
    assert answer(installed)[0] == "6300"


def unwritable(folder: Path) -> None:
    """No permission stops root; a file in the place of the folder stops everybody."""
    (folder / "__pycache__").write_text("")


def test_an_installation_that_cannot_be_written_to_uses_the_users_cache(installed, tmp_path):
    unwritable(installed)
    value, place, _ = answer(installed, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert value == "42"
    assert Path(place).is_relative_to(tmp_path)
    assert not Path(place).is_relative_to(installed)


def test_without_any_place_for_a_cache_it_works_all_the_same(installed, tmp_path):
    unwritable(installed)
    (tmp_path / "nothing").write_text("")
    value, place, had = answer(
        installed, HOME=str(tmp_path / "nothing"), XDG_CACHE_HOME=str(tmp_path / "nothing" / "cache")
    )
    assert (value, place, had) == ("42", "None", "False True")
