"""Reading weights from files without running anything that lies in them."""

import hashlib
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from vidfeat.errors import UsageError

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".safetensors")

# Where training scripts put the weights, and what wrappers put before every name.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "model.")

# Parameters of what 'vidfeat end2end' trains after the network of frames, in the file of its best epoch.
OWN = "vidfeat."


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_state(path: Path, own: bool = False) -> dict[str, torch.Tensor]:
    """Parameters by name, from a ``.safetensors`` file or from one that ``torch.save`` wrote.

    Values stay memory-mapped where the format allows it. Pickled objects other than tensors and plain containers are
    refused, never run. What a trained video network has besides the network of frames is left out without ``own``.

    Raises:
        UsageError: no such file, damaged, or not a collection of tensors.
    """
    if not path.is_file():
        raise UsageError(f"weights file {str(path)!r} does not exist.")
    state = _safetensors(path) if path.suffix == ".safetensors" else _torch_file(path)
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
            break
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise UsageError(
            f"weights file {str(path)!r} holds {_describe(state)}; expected parameters by name (a state_dict), "
            "alone or under 'state_dict': torch.save(model.state_dict(), FILE)."
        )
    plain = {name: value for name, value in state.items() if own or not name.startswith(OWN)}
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in plain):
            plain = {name.removeprefix(prefix): value for name, value in plain.items()}
    return plain


def some_names(names: Iterable[str], limit: int = 5) -> str:
    """The first names in alphabetical order, and how many more there are."""
    ordered = sorted(names)
    rest = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return ", ".join(ordered[:limit]) + rest


def shape_text(tensor: torch.Tensor) -> str:
    """``64x3x7x7``, for messages."""
    return "x".join(map(str, tensor.shape)) or "a number"


def _safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"weights file {str(path)!r} cannot be read as safetensors: {error}") from error


def _torch_file(path: Path) -> object:
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            # Files of torch < 1.6 are no zip archives and cannot be mapped.
            if "mmap can only be used" not in str(error):
                raise
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"weights file {str(path)!r} is damaged or holds pickled Python objects, which are not run here; "
            f"save the tensors alone: torch.save(model.state_dict(), FILE). ({str(error).splitlines()[0]})"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise UsageError(f"weights file {str(path)!r} cannot be read: {str(error).splitlines()[0]}") from error


def _describe(state: object) -> str:
    if isinstance(state, Mapping):
        return "an empty mapping" if not state else f"a mapping with {', '.join(map(repr, list(state)[:4]))}"
    return f"a {type(state).__name__}"
