"""Where the values of a network of torchvision's come from: its own files, a user's file, or nowhere."""

import os
import re
import shutil
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torchvision.models import WeightsEnum

from vidfeat.errors import UsageError
from vidfeat.weights.draws import VERSION
from vidfeat.weights.files import SUFFIXES, file_sha256

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


def find_weights(model: str, request: str, seed: int = 0, option: str = "--weights") -> Weights:
    """Find the source that ``request``, given as ``option``, names, downloading torchvision's file unless it is cached.

    Raises:
        UsageError: no such entry or file, or the download failed.
    """
    if request == "none":
        return Weights("none", f"none:seed={seed}:v{VERSION}", seed=seed)
    entries = torchvision.models.get_model_weights(model)
    name = request.removeprefix(entries.__name__ + ".")
    if name in entries.__members__:
        entry = entries[name]
        path = _cached(entry, option)
        return Weights(str(entry), "sha256:" + _checked(path, entry), entry, path)
    path = Path(request)
    if path.suffix not in SUFFIXES and not path.is_file():
        allowed = ", ".join(entries.__members__)
        raise UsageError(
            f"unknown weights {request!r} for {model}; allowed are {allowed}, a file "
            f"({', '.join(SUFFIXES)}) or none (seeded random values)."
        )
    if not path.is_file():
        raise UsageError(f"weights file {request!r} does not exist.")
    digest = file_sha256(path)
    known = [entry for entry in entries if digest.startswith(_hash_of(entry))]
    return Weights(path.name, "sha256:" + digest, known[0] if known else None, path)


def _hash_of(entry: WeightsEnum) -> str:
    """First digits of the SHA-256 of torchvision's file, which its name bears."""
    found = re.search(r"-([0-9a-f]{8,})\.[a-z]+$", entry.url)
    return found.group(1) if found else "unknown"


def _cached(entry: WeightsEnum, option: str) -> Path:
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
            f"{str(folder)!r} (TORCH_HOME moves it), give a file with {option} FILE, or {option} none for seeded "
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
