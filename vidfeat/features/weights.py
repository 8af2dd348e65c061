"""Values of a network's parameters: torchvision's, a file's, or seeded random ones."""

import os
import re
import shutil
import tempfile
import urllib.request
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torchvision.models import WeightsEnum

from vidfeat.errors import UsageError
from vidfeat.features.checkpoint import SUFFIXES, file_sha256, read_state
from vidfeat.features.random_weights import VERSION, random_state
from vidfeat.features.tracing import Trace

# Classifiers that only serve training; their values come with torchvision's files.
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")

# Densely connected layers in torchvision's own files bear names from before torch 0.4.
_OLD_DENSE = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")

_DOWNLOAD_TIMEOUT = 30.0


@dataclass(frozen=True)
class Weights:
    """A source of values that was found.

    Attributes:
        name: for people: ``AlexNet_Weights.IMAGENET1K_V1``, a file's name, or ``none``.
        identity: for the fingerprint: ``sha256:…`` of the file's bytes, or ``none:seed=S:vN``.
        entry: torchvision's own entry if the values are known to be its; says how to preprocess.
        path: the file, if there is one.
        seed: of random values.
    """

    name: str
    identity: str
    entry: WeightsEnum | None = None
    path: Path | None = None
    seed: int = 0


def find_weights(backbone: str, request: str, seed: int = 0) -> Weights:
    """Find the source that ``request`` names, downloading torchvision's file unless its cache holds it.

    Raises:
        UsageError: no such entry or file, or the download failed.
    """
    if request == "none":
        return Weights("none", f"none:seed={seed}:v{VERSION}", seed=seed)
    entries = torchvision.models.get_model_weights(backbone)
    name = request.removeprefix(entries.__name__ + ".")
    if name in entries.__members__:
        entry = entries[name]
        path = _cached(entry)
        return Weights(str(entry), "sha256:" + _checked(path, entry), entry, path)
    path = Path(request)
    if path.suffix not in SUFFIXES and not path.is_file():
        allowed = ", ".join(entries.__members__)
        raise UsageError(
            f"unknown weights {request!r} for {backbone}; allowed are {allowed}, a file "
            f"({', '.join(SUFFIXES)}) or none (seeded random values)."
        )
    if not path.is_file():
        raise UsageError(f"weights file {request!r} does not exist.")
    digest = file_sha256(path)
    known = [entry for entry in entries if digest.startswith(_hash_of(entry))]
    return Weights(path.name, "sha256:" + digest, known[0] if known else None, path)


def load_weights(traced: Trace, weights: Weights, needed: Iterable[str]) -> list[str]:
    """Give the traced module its values; those of layers that are not in ``needed`` may be absent.

    Args:
        traced: the network; its parameters are replaced.
        weights: where to take the values from.
        needed: paths of the modules and parameters that will be used.

    Returns:
        Names in the file that were left out, because no asked layer needs them.

    Raises:
        UsageError: the file does not fit the network, or holds values that are not finite.
    """
    model = traced.module
    expected = model.state_dict()
    paths = set(needed)
    used = {name for name in expected if not paths.isdisjoint(_ancestors(name))}
    if weights.path is None:
        state, ignored = random_state(traced, weights.seed, used), []
    else:
        state = {_OLD_DENSE.sub(r"\1\2", name): value for name, value in read_state(weights.path).items()}
        state = {name: value for name, value in state.items() if not name.startswith(_AUXILIARY)}
        ignored = _check(weights, traced, state, expected, used)
    values = OrderedDict((name, state[name].to(expected[name].dtype)) for name in expected if name in used & set(state))
    # As the newest version of each module's layout: mnasnet rebuilds itself for files that tell none.
    values._metadata = expected._metadata
    model.load_state_dict(values, strict=False, assign=True)
    return ignored


def _check(
    weights: Weights,
    traced: Trace,
    state: dict[str, torch.Tensor],
    expected: dict[str, torch.Tensor],
    used: set[str],
) -> list[str]:
    """Names of ``state`` that may be ignored; UsageError if anything else does not fit."""
    problems = []
    missing = [name for name in used - set(state) if not name.endswith("num_batches_tracked")]
    if missing:
        problems.append(f"missing: {_some(missing)}")
    shapes = {name: (value, expected[name]) for name, value in state.items() if name in expected}
    wrong = {name for name, (value, wanted) in shapes.items() if value.shape != wanted.shape}
    described = [f"{name} is {_shape(state[name])} instead of {_shape(expected[name])}" for name in wrong & used]
    if described:
        problems.append(f"of another shape: {_some(described)}")
    extra = {name for name in state if name not in expected}
    unexpected = [name for name in extra if not _replaces_unused(traced, name, used)]
    if unexpected:
        problems.append(f"unexpected: {_some(unexpected)}")
    if problems:
        raise UsageError(
            f"weights {weights.name!r} do not fit the network: {'; '.join(problems)}. Choose the backbone that the "
            "file was made for; a classifier of another shape is no obstacle if no asked layer needs it."
        )
    wild = [name for name in used & set(state) if not bool(torch.isfinite(state[name]).all())]
    if wild:
        raise UsageError(
            f"weights {weights.name!r} hold values that are not finite in {_some(wild)}, "
            "which an asked layer needs; ask for layers before them or choose other weights."
        )
    return sorted((wrong | extra) - used)


def _replaces_unused(traced: Trace, name: str, used: set[str]) -> bool:
    """Whether an unknown name lies inside a module that is there, but that no asked layer needs."""
    modules = dict(traced.module.named_modules())
    owner = next((path for path in _ancestors(name)[1:] if path in modules), None)
    return owner is not None and not any(found.startswith(owner + ".") for found in used)


def _ancestors(name: str) -> list[str]:
    """``a.b.c`` -> ``a.b.c``, ``a.b``, ``a``."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]


def _hash_of(entry: WeightsEnum) -> str:
    """First digits of the SHA-256 of torchvision's file, which its name bears."""
    found = re.search(r"-([0-9a-f]{8,})\.[a-z]+$", entry.url)
    return found.group(1) if found else "unknown"


def _cached(entry: WeightsEnum) -> Path:
    """Path of torchvision's file in torch's cache, downloaded if it is not there."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / entry.url.rpartition("/")[2]
    if path.is_file():
        return path
    part = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(entry.url, timeout=_DOWNLOAD_TIMEOUT) as source:
            handle, part = tempfile.mkstemp(dir=folder, suffix=".partial")
            with os.fdopen(handle, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        # Under its final name only when complete; several processes may do this at once.
        os.replace(part, path)
    except OSError as error:
        if part is not None:
            Path(part).unlink(missing_ok=True)
        raise UsageError(
            f"weights {entry} could not be had: {entry.url} failed ({error}). Ways out: put that file into "
            f"{str(folder)!r} (TORCH_HOME moves it), give a file with --weights FILE, or --weights none for seeded "
            "random values."
        ) from error
    return path


def _checked(path: Path, entry: WeightsEnum) -> str:
    digest, wanted = file_sha256(path), _hash_of(entry)
    if wanted != "unknown" and not digest.startswith(wanted):
        raise UsageError(
            f"weights file {str(path)!r} is damaged: its SHA-256 begins with {digest[: len(wanted)]}, that of {entry} "
            f"with {wanted}. Delete it to download it again."
        )
    return digest


def _some(names: Iterable[str], limit: int = 5) -> str:
    ordered = sorted(names)
    rest = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return ", ".join(ordered[:limit]) + rest


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
