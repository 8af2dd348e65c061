"""Curves of a training run: loss, accuracy, learning rate, and how the learnt weights of parts and streams went."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vidfeat.report.sensitivity import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Records = Sequence[Mapping[str, Any]]


def training_figure(history: Records, measure: str = "accuracy") -> "Figure":
    """Loss, training accuracy with the validation score, learning rate; then a panel of β for each stream with
    pyramids, and one of the streams' weights.

    Args:
        history: one record per epoch: ``loss``, ``accuracy``, ``validation``, ``best``, ``lr``, ``beta`` (stream ->
            pyramids of node weights) and ``stream_weights``, as the training loop logs them.
        measure: what the validation score is: ``accuracy`` or ``mean average precision``.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    last = history[-1] if history else {}
    betas = {name: pyramids for name, pyramids in (last.get("beta") or {}).items() if pyramids}
    weights = last.get("stream_weights") or {}
    extra = [f"beta:{name}" for name in betas] + (["weights"] if len(weights) > 1 else [])
    heights = [3, 3, 2] + [3] * len(extra)
    figure = Figure(figsize=(7.0, 0.85 * sum(heights)), dpi=120, layout="constrained")
    panels = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights))
    epochs = np.array([record["epoch"] + 1 for record in history])
    _draw(panels[0], epochs, [record["loss"] for record in history], "Loss of training", COLOURS[0])
    panels[0].set_ylim(bottom=0)
    _draw_scores(panels[1], epochs, history, measure)
    _draw(panels[2], epochs, [record["lr"] for record in history], "Learning rate", COLOURS[2])
    panels[2].set_yscale("log")
    for panel, name in zip(panels[3:], extra, strict=True):
        if name == "weights":
            _draw_weights(panel, epochs, history, list(weights))
        else:
            _draw_betas(panel, epochs, history, name.removeprefix("beta:"))
    for panel in panels:
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("Epoch")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _draw(panel: "Axes", epochs: np.ndarray, values: Sequence[float | None], label: str, colour: str) -> None:
    panel.plot(epochs, np.array(values, dtype=float), color=colour, marker=_marker(epochs), markersize=4)
    panel.set_ylabel(label)


def _draw_scores(panel: "Axes", epochs: np.ndarray, history: Records, measure: str) -> None:
    share = 100 * np.array([record["accuracy"] for record in history], dtype=float)
    panel.plot(epochs, share, color=COLOURS[0], marker=_marker(epochs), markersize=4, label="training accuracy")
    found = np.array([np.nan if r["validation"] is None else r["validation"] for r in history], dtype=float)
    if np.isfinite(found).any():
        panel.plot(epochs, 100 * found, color=COLOURS[1], marker=_marker(epochs), markersize=4,
                   label=f"validation {measure}")  # fmt: skip
        best = max(number for number, record in enumerate(history) if record["best"] or number == 0)
        panel.plot(epochs[best], 100 * found[best], "o", markersize=11, color=COLOURS[1], markerfacecolor="none",
                   label="kept")  # fmt: skip
    panel.set_ylim(-2, 102)
    panel.set_ylabel("%")
    panel.legend(loc="lower right", frameon=False)


def _draw_betas(panel: "Axes", epochs: np.ndarray, history: Records, stream: str) -> None:
    """β of every node, a colour per level, a line style per pyramid."""
    values = np.array([record["beta"][stream] for record in history], dtype=float)  # [epochs, pyramids, N]
    styles = ("-", "--", ":", "-.")
    for pyramid in range(values.shape[1]):
        for node in range(values.shape[2]):
            level = (node + 1).bit_length() - 1
            first = node + 1 == 1 << level and pyramid == 0
            panel.plot(epochs, values[:, pyramid, node], color=COLOURS[level % len(COLOURS)],
                       linestyle=styles[pyramid % len(styles)], linewidth=1.2,
                       label=f"level {level + 1}" if first else None)  # fmt: skip
    panel.set_ylabel(f"β of the parts, {stream}")
    panel.set_ylim(bottom=0)
    panel.legend(loc="upper left", frameon=False, ncols=3)


def _draw_weights(panel: "Axes", epochs: np.ndarray, history: Records, streams: Sequence[str]) -> None:
    for number, name in enumerate(streams):
        values = [record["stream_weights"][name] for record in history]
        panel.plot(epochs, values, color=COLOURS[number], marker=_marker(epochs), markersize=4, label=name)
    panel.set_ylabel("Weights of the streams")
    panel.set_ylim(0, 1)
    panel.legend(loc="upper left", frameon=False)


def _marker(epochs: np.ndarray) -> str:
    """Points show that there are few."""
    return "o" if len(epochs) <= 20 else ""
