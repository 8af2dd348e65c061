"""Commands on several runs: fuse, compare, and the reports of their figures."""

from typing import Any

import typer

from vidfeat.cli.command import add_command
from vidfeat.cli.console import table
from vidfeat.stages.config.fusion import CompareConfig, FuseConfig
from vidfeat.stages.config.scores import ConfusionConfig, PerClassConfig, RunsReportConfig
from vidfeat.words import counted

_FUSE = (
    "Late fusion: add the class scores of several runs, weighted, and judge the sum.\n\n"
    "Every run's scores are first normalised item by item (--normalize); by default divided by the sum of their "
    "absolute values, as the scores of RGB and flow are joined 1 : 1.5 in Ng, Video Understanding with Deep Networks, "
    "2018. The runs must agree on items, labels, classes and training part.\n\n"
    "--weights auto when leaving one group out is slightly too kind: the models that scored the other groups, by which "
    "the weights of a group are chosen, were trained on that group (measured on pure noise: 0 to 1 points of accuracy "
    "for two runs, 1 to 3 for three). With a split and --validation nothing leaks.\n\n"
    "Fusing before training instead is a sum of kernels: give 'vidfeat svm train' several codes files.\n\n"
    "Example:  vidfeat fuse RGB FLOW --weights 1,1.5 -o BOTH"
)
_COMPARE = (
    "Say whether the second run is better than the first on the same test items, class by class too.\n\n"
    "Intervals (95 %): both runs judged on the same draws of whole groups (recordings). p, two-sided: how often a "
    "difference as large comes about if the runs trade their predictions in whole groups at random; if there are no "
    "more ways to trade than --bootstrap, all are counted. With few groups p is the safer of the two.\n\n"
    "Example:  vidfeat compare AVG RANKPOOL        or, for three splits:  vidfeat compare A1 A2 A3 B1 B2 B3 --splits 3"
)
_RUNS = (
    "Show the figures of several runs side by side, with 95 % intervals (whole groups resampled), and their mean and "
    "standard deviation over the splits of a set.\n\n"
    "Example:  vidfeat report runs A1 A2 A3 --mean -o runs.csv"
)
_CONFUSION = (
    "Draw which classes a run takes for which, in percent of the items of each true class.\n\n"
    "Example:  vidfeat report confusion RUN -o confusion.png"
)
_PER_CLASS = (
    "Draw how well each class is told from the others; of two runs the difference, second minus first, with 95 % "
    "intervals (whole groups resampled).\n\n"
    "Example:  vidfeat report per-class AVG RANKPOOL -o classes.png"
)
_NAMES = {"accuracy": "accuracy", "mean_per_class_accuracy": "mean per class accuracy", "map": "map"}


def register(app: typer.Typer) -> None:
    add_command(app, "fuse", FuseConfig, "fuse", render=_render_fuse, help=_FUSE)
    add_command(app, "compare", CompareConfig, "compare", render=_render_compare, help=_COMPARE)


def register_reports(report: typer.Typer) -> None:
    """The subcommands of ``vidfeat report``."""
    add_command(report, "runs", RunsReportConfig, "report_runs", render=_render_runs, help=_RUNS, group="report")
    add_command(
        report, "confusion", ConfusionConfig, "report_classes:confusion", render=_render_confusion, help=_CONFUSION,
        group="report",
    )  # fmt: skip
    add_command(
        report, "per-class", PerClassConfig, "report_classes:per_class", render=_render_per_class, help=_PER_CLASS,
        group="report",
    )  # fmt: skip


def _render_fuse(facts: dict[str, Any]) -> str:
    rows = [[one["run"], one["weight"], *(one[name] for name in _NAMES)] for one in facts["runs"]]
    rows.append(["fused", "", *(facts[name] for name in _NAMES)])
    fusion = facts["fusion"]
    text = f"{facts['output']}: {facts['n_test']} test items, split {facts['split']}, scores by {fusion['normalize']}\n"
    text += table(rows, ["run", "weight", *_NAMES.values()])
    if "chosen_by" in fusion:
        text += f"\nWeights: the best {fusion['chosen_by']['measure']}, {fusion['chosen_by']['score']:.3f}, "
        if "weights_of_groups" in fusion:
            ways = len({tuple(weights) for weights in fusion["weights_of_groups"].values()})
            text += "on all groups; each group was scored with what is best on the others"
            text += f" ({counted(ways, 'weighting')} in all)."
        else:
            text += "on the training items."
    return text


def _render_compare(facts: dict[str, Any]) -> str:
    first, second = (", ".join(facts[side]) for side in ("first", "second"))
    with_intervals = facts["test"] is not None
    head = f"{counted(facts['n_test'], 'test item')} in {counted(facts['groups'], 'group')}"
    head += f"; difference = {second} minus {first}"
    header = ["figure", "first", "second", "difference", *(["95 % interval", "p"] if with_intervals else [])]
    rows = []
    for name, words in _NAMES.items():
        entry = facts["figures"][name]
        more = [_interval(entry["interval95"]), f"{entry['p']:.4f}"] if with_intervals else []
        rows.append([words, entry["first"], entry["second"], _signed(entry["difference"]), *more])
    parts = [head + "\n" + table(rows, header)]
    if with_intervals:
        test = facts["test"]
        ways = f"all {test['swaps']} ways" if test["exact"] else f"{test['swaps']} random ways"
        parts[0] += f"\np over {ways} to swap groups, at least {test['smallest_p']:.2g}."
    parts.append(_differences_text(facts["per_class"]))
    return "\n\n".join(parts)


def _differences_text(classes: dict[str, Any]) -> str:
    with_intervals = any("interval95" in entry["accuracy"] for entry in classes.values())
    rows = []
    for name, entry in classes.items():
        row = [name, entry["n"]]
        for measure in ("accuracy", "ap"):
            own = entry[measure]
            row += ["" if own[side] is None else own[side] for side in ("first", "second")]
            row += [_signed(own["difference"]), *([_interval(own["interval95"])] if with_intervals else [])]
        rows.append(row)
    more = ["95 % interval"] if with_intervals else []
    header = ["class", "items", "accuracy 1st", "2nd", "difference", *more, "ap 1st", "2nd", "difference", *more]
    return table(rows, header)


def _render_runs(facts: dict[str, Any]) -> str:
    ks = list(facts["runs"][0]["hit"])
    with_intervals = any(row["intervals"] for row in facts["runs"])
    rows = []
    for row in facts["runs"]:
        ends = row["intervals"]["accuracy"] if row["intervals"] else None
        interval = [_interval(ends, ".3f")] if with_intervals else []
        numbers = [row["mean_per_class_accuracy"], row["map"], *(row["hit"][k] for k in ks)]
        rows.append([row["run"], row["split"] or "", row["n_test"], row["accuracy"], *interval, *numbers])
    if "mean" in facts:
        mean, sd = facts["mean"], facts["sd"]
        spread = lambda a, b: f"{a:.3f} ± {b:.3f}"  # noqa: E731
        numbers = [spread(mean[name], sd[name]) for name in _NAMES] + [spread(mean["hit"][k], sd["hit"][k]) for k in ks]
        rows.append(["mean ± sd", "", "", numbers[0], *([""] if with_intervals else []), *numbers[1:]])
    more = ["95 % interval"] if with_intervals else []
    header = ["run", "split", "items", "accuracy", *more, "mean per class accuracy", "map", *(f"hit@{k}" for k in ks)]
    text = table(rows, header)
    return f"{facts['output']}:\n{text}" if "output" in facts else text


def _render_confusion(facts: dict[str, Any]) -> str:
    text = f"{facts['output']}: {counted(facts['items'], 'test item')}."
    if not facts["mistakes"]:
        return text + " All were predicted right."
    rows = [[pair["true"], pair["predicted"], pair["items"], pair["share"]] for pair in facts["mistakes"]]
    return text + " Taken for another most often:\n" + table(rows, ["class", "taken for", "items", "share"])


def _render_per_class(facts: dict[str, Any]) -> str:
    if "differences" in facts:
        head = f"{facts['output']}: difference = {facts['runs'][1]} minus {facts['runs'][0]}\n"
        return head + _differences_text(facts["differences"])
    names = ["n", "accuracy", "precision", "f1", "ap"]
    rows = [[name, *("" if row[key] is None else row[key] for key in names)] for name, row in facts["classes"].items()]
    return f"{facts['output']}: {facts['run']}\n" + table(rows, ["class", "items", *names[1:]])


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"


def _interval(ends: list[float] | None, form: str = "+.3f") -> str:
    return "" if ends is None else f"{ends[0]:{form}} … {ends[1]:{form}}"
