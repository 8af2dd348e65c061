"""``vidfeat report retrieval``: one table and one plot of what ``vidfeat retrieve`` found with codes of several layers.

Source of the study: J. Y.-H. Ng, *Video Understanding with Deep Networks*, 2018, section 2.4.
"""

import io
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.report.retrieval import LayerCurve, layer_figure
from vidfeat.stages import runs
from vidfeat.stages.config.retrieval_report import RetrievalReportConfig
from vidfeat.stages.places import check_free
from vidfeat.stages.retrieval_results import Searched, read_searched
from vidfeat.stages.sensitivity import names_of
from vidfeat.stages.summary import Summary
from vidfeat.store import write_bytes

log = logging.getLogger("vidfeat")


def run(config: RetrievalReportConfig) -> Summary:
    """Write the plot; the summary has the table. UsageError for searches that cannot stand in one plot."""
    runs.check_place(config.output)
    if config.output.is_dir():
        raise UsageError(f"The output {config.output} is a folder; give the name of a picture, such as layers.png.")
    check_free(config.output, config.overwrite)
    names = names_of(config.found)
    searched = [read_searched(folder, name) for folder, name in zip(config.found, names, strict=True)]
    _check_comparable(searched)
    layers = layer_order(searched)
    rank = {layer: number for number, layer in enumerate(layers)}
    searched.sort(key=lambda one: (rank[one.layer], _line_order(one)))
    task, network = searched[0].task[0], searched[0].network
    title = f"{network}: {task}" if network else task
    picture = io.BytesIO()
    layer_figure(curves_of(searched), layers, title).savefig(picture, format=config.output.suffix.lower()[1:])
    write_bytes(config.output, picture.getvalue())
    rows = [{name: value for name, value in asdict(one).items() if name not in ("task", "network")} for one in searched]
    facts: dict[str, Any] = {"output": str(config.output), "network": network, "task": task, "layers": layers}
    return Summary({**facts, "results": rows})


def _check_comparable(searched: Sequence[Searched]) -> None:
    first, places = searched[0], {}
    for one in searched:
        if one.task != first.task:
            differ = f"{one.task[0]}, there {first.task[0]}" if one.task[0] != first.task[0] else "other queries"
            raise UsageError(
                f"{one.name} and {first.name} cannot share a plot, as they were asked different things: here {differ}. "
                "Search the same items with every kind of codes."
            )
        if one.network != first.network:
            raise UsageError(
                f"{one.name} is of {one.network or 'an unknown network'}, {first.name} of "
                f"{first.network or 'an unknown network'}; their layers have no common order. Plot each apart."
            )
        other = places.setdefault((one.layer, one.line), one)
        if other is not one:
            raise UsageError(
                f"{other.name} and {one.name} are both {one.method} of {one.layer}"
                f"{', reduced' if one.reduced else ''}, and would be one point of one line. Plot them apart."
            )


def layer_order(searched: Sequence[Searched]) -> list[str]:
    """The layers that occur, as the network has them; those it does not list come last, as they were given."""
    given = list(dict.fromkeys(one.layer for one in searched))
    network = searched[0].network
    if not network or len(given) == 1:
        return given
    from vidfeat import features

    try:
        known = [layer.name for layer in features.layers(network)]
    except UsageError as error:
        log.warning("The order of layers is the one in which they were given: %s", error)
        return given
    rank = {name: number for number, name in enumerate(known)}
    return sorted(given, key=lambda layer: rank.get(layer.removeprefix("flow.").removesuffix(":pre"), len(known)))


def curves_of(searched: Sequence[Searched]) -> list[LayerCurve]:
    """A line for each method, size of input, and full or reduced codes."""
    lines: dict[tuple, list[Searched]] = {}
    for one in sorted(searched, key=_line_order):
        lines.setdefault(one.line, []).append(one)
    curves = []
    for (method, size, reduced), points in lines.items():
        dimensions = sorted({one.dimension for one in points})
        span = "–".join(map(str, dict.fromkeys((dimensions[0], dimensions[-1]))))
        kind = f"PCA to {span}" if reduced else f"full ({span})"
        family = f"{method}, input {size}" if size else method
        values = np.array([one.map for one in points])
        curves.append(LayerCurve(family, kind, [one.layer for one in points], values, reduced))
    return curves


def _line_order(one: Searched) -> tuple:
    sizes = [int(part) if part.isdecimal() else 0 for part in one.input.split("+")]
    return one.method, len(sizes), sizes, one.reduced
