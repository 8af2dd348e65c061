"""What the options of flow ask for, and the settings that identify it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vidfeat.errors import UsageError
from vidfeat.flow.methods import method_settings
from vidfeat.stages.config.flow import SETTINGS, FlowOptions, option_names
from vidfeat.stages.config.options import flag_of
from vidfeat.stages.recipe import FlowRecipe


def flow_recipe(config: FlowOptions, dtype: str = "uint8") -> FlowRecipe:
    """How the flow is found that the options describe."""
    return FlowRecipe(config.method, config.flow_settings, dtype, config.bound)


def flow_settings_of(config: FlowOptions, dtype: str = "uint8", weights: bool = True) -> dict[str, Any]:
    """The method, all its settings, defaults included, and the bound of quantised fields.

    Without ``weights``, those of raft are left out: they may have to be downloaded before they can be told.
    """
    given = config.flow_settings
    if config.method == "raft" and not weights:
        given = {**given, "weights": "none"}
    with said_as_flags(config.method):
        settings = option_names(config.method, method_settings(config.method, **given))
    if not weights:
        settings.pop("raft-weights", None)
    return {"method": config.method, **settings, **({"bound": config.bound} if dtype == "uint8" else {})}


@contextmanager
def said_as_flags(method: str) -> Iterator[None]:
    """Errors of the flow package, which knows its settings by Python's names, with the names of the options."""
    try:
        yield
    except UsageError as error:
        raise UsageError(with_flags(method, str(error))) from error


def with_flags(method: str, words: str) -> str:
    """``tau is -1.0; …`` -> ``--tau is -1.0; …``, and ``give device='cuda'`` -> ``give --device cuda``."""
    flags = {setting: flag_of(name) for name, (owner, setting) in SETTINGS.items() if owner == method}
    flags["device"] = "--device"
    names = "|".join(flags)
    words = re.sub(rf"^({names})(?= is )", lambda found: flags[found[1]], words)
    return re.sub(rf"\b({names})= ?'?([\w:.-]*\w)'?", lambda found: f"{flags[found[1]]} {found[2]}", words)
