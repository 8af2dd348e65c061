"""Gives a traced network its values, from a file or seeded random ones."""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import torch

from vidfeat.errors import UsageError
from vidfeat.features.random_weights import random_state
from vidfeat.features.tracing import Trace
from vidfeat.weights.files import read_state, shape_text, some_names
from vidfeat.weights.sources import Weights

# Classifiers that only serve training; their values come with torchvision's files.
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")

# Densely connected layers in torchvision's own files bear names from before torch 0.4.
_OLD_DENSE = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")


def load_weights(
    traced: Trace,
    weights: Weights,
    needed: Iterable[str],
    adapted: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType({}),
) -> list[str]:
    """Give the traced module its values; those of layers that are not in ``needed`` may be absent.

    Args:
        traced: the network; its parameters are replaced.
        weights: where to take the values from.
        needed: paths of the modules and parameters that will be used.
        adapted: by name, what makes of a value in a file that of the network; drawn values need none.

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
        state |= {name: adapt(state[name]) for name, adapt in adapted.items() if name in state}
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
        problems.append(f"missing: {some_names(missing)}")
    shapes = {name: (value, expected[name]) for name, value in state.items() if name in expected}
    wrong = {name for name, (value, wanted) in shapes.items() if value.shape != wanted.shape}
    described = [f"{n} is {shape_text(state[n])} instead of {shape_text(expected[n])}" for n in wrong & used]
    if described:
        problems.append(f"of another shape: {some_names(described)}")
    extra = {name for name in state if name not in expected}
    unexpected = [name for name in extra if not _replaces_unused(traced, name, used)]
    if unexpected:
        problems.append(f"unexpected: {some_names(unexpected)}")
    if problems:
        raise UsageError(
            f"weights {weights.name!r} do not fit the network: {'; '.join(problems)}. Choose the backbone that the "
            "file was made for; a classifier of another shape is no obstacle if no asked layer needs it."
        )
    wild = [name for name in used & set(state) if not bool(torch.isfinite(state[name]).all())]
    if wild:
        raise UsageError(
            f"weights {weights.name!r} hold values that are not finite in {some_names(wild)}, "
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
