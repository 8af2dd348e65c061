"""The command that searches codes, and the one that compares searches: retrieve, report retrieval."""

from typing import Any

import typer

from vidfeat.cli.command import add_command
from vidfeat.cli.console import table
from vidfeat.stages.config.retrieval_report import RetrievalReportConfig
from vidfeat.stages.config.retrieve import RetrieveConfig
from vidfeat.words import counted

_RETRIEVE = (
    "Search codes for each other by exact nearest neighbours, and judge what comes first.\n\n"
    "map is the mean average precision by the trapezoid rule, as the evaluation programs of Holidays, Oxford and Paris "
    "compute it; map stepwise is the usual one. recall@k is the share of positives among the first k, hit@k the share "
    "of queries with a positive there. Equal distances rank in the order of ids.\n\n"
    "OUT/queries.csv has the average precision of each query, OUT/ranked.csv its best matches. Exit code 1 means that "
    "pictures of the contact sheet are missing.\n\n"
    "Example:  vidfeat retrieve codes.h5 --protocol labels --exclude-same-group -o FOUND"
)
_REPORT = (
    "Compare searches with codes of several layers: a table, and a plot of mean average precision over the layers of "
    "the network, with a line for each size of input, and for full and reduced codes.\n\n"
    "recall@1 is the share of the positives that come first, hit@1 the share of queries with a positive there.\n\n"
    "Example:  vidfeat report retrieval FOUND/* -o layers.png"
)
# As many queries as Oxford and Paris have are listed; of more, the ones that went worst.
_MOST_LISTED, _WORST = 55, 10


def register(app: typer.Typer) -> None:
    add_command(app, "retrieve", RetrieveConfig, "retrieve", render=_render, help=_RETRIEVE)


def register_reports(report: typer.Typer) -> None:
    add_command(
        report, "retrieval", RetrievalReportConfig, "report_retrieval", render=_render_report, help=_REPORT,
        group="report",
    )  # fmt: skip


def _render_report(facts: dict[str, Any]) -> str:
    header = ["name", "layer", "input", "codes", "dimension", "mAP", "recall@1", "hit@1"]
    rows = [
        [one["name"], one["layer"], one["input"], one["method"] + (", PCA" if one["reduced"] else ""),
         one["dimension"], one["map"], one["recall"], one["hit"]]
        for one in facts["results"]
    ]  # fmt: skip
    head = f"{facts['network']}: {facts['task']}" if facts["network"] else facts["task"]
    return f"{head}\n{table(rows, header)}\n\nThe plot is {facts['output']}."


def _render(facts: dict[str, Any]) -> str:
    queries = facts["queries"]
    head = (
        f"{'1 query' if len(queries) == 1 else f'{len(queries)} queries'} against "
        f"{counted(facts['n_database'], 'item')}, protocol {facts['protocol']}, metric {facts['metric']}"
    )
    rows = [["map", facts["map"]], ["map stepwise", facts["map_stepwise"]]]
    rows += [[f"{name}@{k}", value] for name in ("recall", "hit") for k, value in facts[name].items()]
    parts = [head + "\n" + table(rows, ["figure", "value"])]
    listed = queries
    if len(queries) > _MOST_LISTED:
        listed = sorted(queries, key=lambda entry: entry["ap"])[:_WORST]
        parts.append(f"The {_WORST} of {len(queries)} queries that went worst:")
    parts.append(
        table(
            [[entry["query"], entry["ap"], entry["positives"], entry["first_rank"] or "none"] for entry in listed],
            ["query", "ap", "positives", "first found at"],
        )
    )
    for name, words in (("output", "Results are in"), ("contact_sheet", "The contact sheet is")):
        if facts.get(name):
            parts.append(f"{words} {facts[name]}.")
    if facts.get("without_picture"):
        parts[-1] += f" {counted(len(facts['without_picture']), 'picture')} could not be had; see the messages."
    return "\n\n".join(parts)
