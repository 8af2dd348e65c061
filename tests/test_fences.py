"""The fences of the package, checked on the source itself, and each checked to be able to fail."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "vidfeat"

# A package imports only from packages of lower levels; modules directly in vidfeat/ are level 0 and may use each other.
LEVELS = {
    1: "pooling codebooks kernels metrics weights",
    2: "media flow store datasets",
    3: "features encoders",
    4: "classify retrieval networks",
    5: "training report",
    6: "stages",
    7: "cli",
}
LEVEL = {name: level for level, names in LEVELS.items() for name in names.split()}
ONLY_IN = {"h5py": {"store"}, "cv2": {"media", "flow", "report"}, "typer": {"cli"}}
NEVER = {"tests", "pytest"}
MAX_LINES, MEDIAN_LINES = 350, 120
# Levels 1 to 5 hand their results back; these may write files, each for its reason.
WRITERS = {
    "store": "the one place where results are written",
    "datasets/manifest.py": "a manifest is written as it is read: atomically, in one place",
    "datasets/demo.py": "the demo set is files",
    "weights/sources.py": "a cache of downloaded weights, no result",
}
WRITING_CALLS = {
    "write_text",
    "write_bytes",
    "mkdir",
    "makedirs",
    "savez",
    "savetxt",
    "imwrite",
    "savefig",
    "save_file",
}
HEAVY = (
    "torch",
    "torchvision",
    "cv2",
    "av",
    "sklearn",
    "scipy",
    "h5py",
    "numba",
    "matplotlib",
    "safetensors",
    "libsvm",
)

Problems = Iterator[tuple[ast.AST, str]]


def part_of(module: str) -> str:
    """The package of level 1 to 7 that a dotted name below vidfeat is in, or "" for level 0."""
    name = module.split(".")[1] if "." in module else ""
    return name if name in LEVEL else ""


def imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[tuple[ast.AST, str]]:
    """(node, absolute dotted name) of every import, inside functions too; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node, f"{source}.{alias.name}"
        elif isinstance(node, ast.Call) and called(node)[1] in ("import_module", "__import__"):
            yield from ((node, str(name.value)) for name in node.args[:1] if isinstance(name, ast.Constant))


def called(node: ast.Call) -> tuple[str, str]:
    """``a.b(...)`` gives ("a", "b"), ``b(...)`` gives ("", "b")."""
    function = node.func
    if isinstance(function, ast.Attribute):
        return ast.unparse(function.value), function.attr
    return "", function.id if isinstance(function, ast.Name) else ""


def check_levels(tree: ast.Module, module: str, path: Path) -> Problems:
    here = part_of(module)
    for node, name in imports(tree, module, path.name == "__init__.py"):
        if name.split(".")[0] != "vidfeat":
            continue
        there = part_of(name)
        if module == "vidfeat":
            yield node, f"vidfeat/__init__.py imports {name}; its names must load on first use"
        elif there != here and LEVEL.get(there, 0) >= max(LEVEL.get(here, 0), 1):
            yield node, f"{here or 'level 0'} imports {name}: only lower levels are allowed"
        elif not there and name != "vidfeat.__version__" and not is_module(path, name):
            yield node, f"{name} comes through the facade; import it from where it is"


def is_module(path: Path, name: str) -> bool:
    """Whether ``vidfeat.x`` or ``vidfeat.x.y`` lies in level 0 of the tree that ``path`` belongs to."""
    root = next(folder for folder in path.parents if folder.name == "vidfeat")
    return (root / f"{name.split('.')[1]}.py").is_file() if "." in name else False


def check_places(tree: ast.Module, module: str, path: Path) -> Problems:
    for node, name in imports(tree, module, path.name == "__init__.py"):
        top = name.split(".")[0]
        if top in ONLY_IN and part_of(module) not in ONLY_IN[top]:
            yield node, f"{top} may be imported only in {', '.join(sorted(ONLY_IN[top]))}"
        if top in NEVER:
            yield node, f"{top} may not be imported by the package"


def check_statements(tree: ast.Module, module: str, path: Path) -> Problems:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node, "assert vanishes under -O; raise an error of vidfeat.errors"
        if isinstance(node, ast.Name) and node.id == "print":
            yield node, "print; tables go to sys.stdout in cli/, messages to the logger"


def check_fork(tree: ast.Module, module: str, path: Path) -> Problems:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and "multiprocessing" in (node.module or "").split("."):
            for alias in node.names:
                if alias.name in ("Process", "Pool", "Manager"):
                    yield node, f"{alias.name} forks by default; use get_context('spawn').{alias.name}"
        if not isinstance(node, ast.Call):
            continue
        owner, name = called(node)
        spawn = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == "spawn"
        if name in ("get_context", "set_start_method") and not spawn:
            yield node, f"{name} must be given 'spawn'"
        if name in ("Process", "Pool", "Manager") and owner.split(".")[-1] in ("multiprocessing", "mp"):
            yield node, f"{owner}.{name} forks by default; use get_context('spawn').{name}"
        if name == "ProcessPoolExecutor" and not any(keyword.arg == "mp_context" for keyword in node.keywords):
            yield node, "ProcessPoolExecutor forks by default; give it mp_context"
        if name in ("fork", "forkpty") and owner == "os":
            yield node, f"os.{name}: no fork anywhere"


def check_writing(tree: ast.Module, module: str, path: Path) -> Problems:
    here = part_of(module)
    if LEVEL.get(here, 0) not in range(1, 6) or here in WRITERS or f"{here}/{path.name}" in WRITERS:
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        owner, name = called(node)
        modes = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
        opens = name in ("open", "fdopen") and any(
            isinstance(mode, ast.Constant) and isinstance(mode.value, str) and mode.value.strip("rwaxbt+") == ""
            and set(mode.value) & set("wax+") for mode in modes
        )  # fmt: skip
        saves = name in WRITING_CALLS or (name == "save" and owner in ("np", "numpy", "torch"))
        if opens or saves or (owner == "os" and name in ("replace", "rename")):
            yield node, f"{name}: levels 1 to 5 write no files, store apart"


def check_form(tree: ast.Module, module: str, path: Path) -> Problems:
    lines = path.read_text(encoding="utf-8").count("\n")
    if lines > MAX_LINES:
        yield tree, f"{lines} lines, more than {MAX_LINES}"
    if tree.body and ast.get_docstring(tree) is None:
        yield tree, "no module docstring"


def check_known(tree: ast.Module, module: str, path: Path) -> Problems:
    name = module.split(".")[1] if "." in module else ""
    if name and name not in LEVEL and path.parent.name != "vidfeat":
        yield tree, f"package {name} has no level"


CHECKS: list[Callable[[ast.Module, str, Path], Problems]] = [
    check_levels, check_places, check_statements, check_fork, check_writing, check_form, check_known,
]  # fmt: skip


def problems(root: Path, checks: list[Callable] = CHECKS) -> list[str]:
    """Every broken rule below ``root``, the folder ``vidfeat``."""
    found = []
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        names = path.relative_to(root.parent).with_suffix("").parts
        module = ".".join(names[:-1] if names[-1] == "__init__" else names)
        for check in checks:
            for node, text in check(tree, module, path):
                found.append(f"{path.relative_to(root.parent)}:{getattr(node, 'lineno', 1)}: {text}")
    return found


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_fence(check):
    assert problems(PACKAGE, [check]) == []


def test_files_are_short_in_the_median():
    lengths = [path.read_text(encoding="utf-8").count("\n") for path in PACKAGE.rglob("*.py")]
    assert median(length for length in lengths if length) <= MEDIAN_LINES


@pytest.mark.parametrize("module", ["vidfeat", "vidfeat.cli.main"])
def test_import_is_cheap(module):
    """``vidfeat --help`` must not wait for torch."""
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


BROKEN = [
    ("pooling/x.py", "from vidfeat.store import y", "pooling imports vidfeat.store.y: only lower levels are allowed"),
    ("media/x.py", "from vidfeat.store.a import y", "media imports vidfeat.store.a.y: only lower"),
    ("media/x.py", "def f():\n    import vidfeat.cli.main", ":3: media imports vidfeat.cli.main"),
    ("media/x.py", "from vidfeat import datasets", "media imports vidfeat.datasets: only lower"),
    ("media/x.py", "from ..datasets import items", "media imports vidfeat.datasets.items: only lower"),
    ("media/sub/__init__.py", "from ...flow import a", "media imports vidfeat.flow.a: only lower"),
    ("media/x.py", "import importlib\nimportlib.import_module('vidfeat.flow')", ":3: media imports vidfeat.flow"),
    ("errors.py", "import vidfeat.pooling.rank", "level 0 imports vidfeat.pooling.rank: only lower"),
    ("__init__.py", "from vidfeat.errors import UsageError", "its names must load on first use"),
    ("store/x.py", "from vidfeat import open_features", "vidfeat.open_features comes through the facade"),
    ("stages/x.py", "import typer", "typer may be imported only in cli"),
    ("features/x.py", "from h5py import File", "h5py may be imported only in store"),
    ("encoders/x.py", "def f():\n    import cv2.ximgproc", "cv2 may be imported only in flow, media, report"),
    ("kernels/x.py", "from tests.oracles import slow", "tests may not be imported by the package"),
    ("kernels/x.py", "assert True", "assert vanishes under -O"),
    ("cli/x.py", "print('a')", "print; tables go to sys.stdout"),
    ("cli/x.py", "map(print, [])", "print; tables go to sys.stdout"),
    ("media/x.py", "import multiprocessing\nmultiprocessing.get_context('fork')", "get_context must be given 'spawn'"),
    ("media/x.py", "import torch.multiprocessing as mp\nmp.Process()", "mp.Process forks by default"),
    ("media/x.py", "from multiprocessing import Pool", "Pool forks by default"),
    ("media/x.py", "ProcessPoolExecutor(4)", "ProcessPoolExecutor forks by default; give it mp_context"),
    ("media/x.py", "import os\nos.fork()", "os.fork: no fork anywhere"),
    ("classify/x.py", "open('f', 'w')", "open: levels 1 to 5 write no files"),
    ("classify/x.py", "p.open(mode='rb+')", "open: levels 1 to 5 write no files"),
    ("report/x.py", "p.write_text('')", "write_text: levels 1 to 5 write no files"),
    ("features/x.py", "torch.save(a, b)", "save: levels 1 to 5 write no files"),
    ("datasets/x.py", "import os\nos.replace('a', 'b')", "replace: levels 1 to 5 write no files"),
    ("media/x.py", "\n" * 351, "lines, more than 350"),
    ("extra/x.py", "a = 1", "package extra has no level"),
]


@pytest.mark.parametrize(("name", "source", "expected"), BROKEN)
def test_each_rule_can_fail(tmp_path, name, source, expected):
    path = tmp_path / "vidfeat" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'"""Doc."""\n{source}\n')
    (found,) = problems(tmp_path / "vidfeat")
    assert expected in found and found.startswith(f"vidfeat/{name}:")


def test_a_missing_docstring_is_found(tmp_path):
    (tmp_path / "vidfeat").mkdir()
    (tmp_path / "vidfeat" / "x.py").write_text("a = 1\n")
    assert problems(tmp_path / "vidfeat") == ["vidfeat/x.py:1: no module docstring"]


def test_what_is_allowed_passes(tmp_path):
    allowed = {
        "__init__.py": "import importlib\n__version__ = '0'",
        "errors.py": "import math",
        "ids.py": "from vidfeat.errors import E",
        "store/a.py": "import h5py\nfrom vidfeat.errors import E\nfrom vidfeat.store.b import c\nopen('f', 'w')",
        "store/b.py": "from . import a\nfrom .a import d\nfrom vidfeat import ids, __version__",
        "features/a.py": "import vidfeat.store.a\nfrom vidfeat.media import b\nopen('weights', 'rb')\nopen('report')",
        "media/a.py": "import multiprocessing\nc = multiprocessing.get_context('spawn')\nc.Process()\nx.replace()",
        "stages/a.py": "from vidfeat import features\nopen('f', 'w')",
        "cli/main.py": "import typer\nfrom vidfeat.stages import a",
    }
    for name, source in allowed.items():
        path = tmp_path / "vidfeat" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""Doc."""\n{source}\n')
    (tmp_path / "vidfeat" / "store" / "__init__.py").write_text("")
    assert problems(tmp_path / "vidfeat") == []
