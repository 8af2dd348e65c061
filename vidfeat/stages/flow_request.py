"""What the options of flow ask for, and the settings that identify it."""

from typing import Any

from vidfeat.flow.methods import method_settings
from vidfeat.stages.config.flow import FlowOptions, option_names
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
    settings = option_names(config.method, method_settings(config.method, **given))
    if not weights:
        settings.pop("raft-weights", None)
    return {"method": config.method, **settings, **({"bound": config.bound} if dtype == "uint8" else {})}
