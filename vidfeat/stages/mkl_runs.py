"""The folder RUN of ``vidfeat mkl``: figures, predictions, weights of nodes, and the model.

Linear: one LIBSVM text file per class over the codes of all streams side by side. Other kernels: model.h5, the dual
coefficients with the codes of the support vectors.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from vidfeat.classify.mkl import MultipleKernelSVC
from vidfeat.classify.mkl_model import NodeMachines
from vidfeat.classify.model_text import linear_model_text, parse_linear_model
from vidfeat.errors import UsageError
from vidfeat.report.mkl import WeightTree, weight_trees_figure
from vidfeat.stages import runs
from vidfeat.stages.mkl_streams import Stream, spread
from vidfeat.stages.relabel import join_labels
from vidfeat.store import write_bytes, write_json, write_text
from vidfeat.store.machines import Machines, read_machines, write_machines

FORMAT, VERSION = "vidfeat-mkl", 1
_MOST_TREES = 24  # in one picture; of more, the mean over classes is drawn
KERNELS_FILE = "model.h5"


@dataclass(frozen=True)
class MklRun:
    """A trained model: weights on codes, or machines over kernels."""

    meta: dict[str, Any]
    weights: np.ndarray | None  # [classes, Σ dimensions]
    biases: np.ndarray | None
    machines: NodeMachines | None

    @property
    def command(self) -> str:
        return "vidfeat mkl"

    @property
    def classes(self) -> list[str]:
        return self.meta["classes"]

    @property
    def sources(self) -> list[dict[str, Any]]:
        """Per stream: name, set, dimension, blocks, provenance."""
        return self.meta["streams"]

    def scores(self, codes: Sequence[np.ndarray]) -> np.ndarray:
        """float64 ``[items, classes]`` of the codes of every stream, as they were encoded."""
        if self.machines is None:
            edges = np.cumsum([0, *(part.shape[1] for part in codes)])
            parts = (
                part.astype(np.float64) @ self.weights[:, a:b].T
                for part, a, b in zip(codes, edges[:-1], edges[1:], strict=True)
            )
            return sum(parts, start=self.biases)
        nodes = [
            np.stack([part[:, start:stop] for _, start, stop in stream["blocks"]], axis=1)
            for part, stream in zip(codes, self.meta["streams"], strict=True)
        ]
        scores = self.machines.scores(nodes)
        return np.hstack([-scores, scores]) if scores.shape[1] < len(self.meta["classes"]) else scores

    def probabilities(self, scores: np.ndarray) -> None:
        """None: weights of nodes are learnt without calibration."""

    def joined(self, labels: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Labels of new items, with the classes joined that training joined (``--merge-labels``)."""
        return [join_labels(own, self.meta["merge_labels"]) for own in labels]


def write_run(
    folder: Path,
    model: MultipleKernelSVC,
    streams: Sequence[Stream],
    train_rows: Sequence[int],
    meta: dict[str, Any],
    results: dict[str, Any],
    predictions: Sequence[Any],
) -> None:
    """Write the folder as :func:`vidfeat.stages.runs.writing_run` does, with the weights and the heat map."""
    weights = beta_facts(model, streams, meta["classes"])
    with runs.writing_run(folder, meta, results, predictions) as new:
        _write_model(new, model, streams, train_rows, meta)
        write_json(new / "beta.json", weights)
        write_bytes(new / "beta.png", heat_map(weights))


def _write_model(folder: Path, model: MultipleKernelSVC, streams, train_rows, meta) -> None:
    if model.coef_ is not None:
        weights = np.hstack([spread(c, s.blocks, s.dimension) for c, s in zip(model.coef_, streams, strict=True)])
        biases = model.intercept_
        if len(weights) < len(meta["classes"]):
            weights, biases = np.vstack([-weights, weights]), np.hstack([-biases, biases])
        for number, (w, b) in enumerate(zip(weights, biases, strict=True)):
            write_text(folder / runs.model_file(number), linear_model_text(w, float(b)))
        return
    found = model.machines_
    facts = {
        "kernel": found.kernel,
        "gammas": list(found.gammas),
        "scales": [scales.tolist() for scales in found.scales],
        "nodes": [part.shape[1] for part in found.nodes],
        "betas": found.betas.tolist(),
        "combination": found.combination,
        "classes": meta["classes"],
    }
    flat = [part.reshape(len(part), -1) for part in found.nodes]
    ids = [meta["train_ids"][row] for row in model.support_]
    write_machines(folder / KERNELS_FILE, Machines(facts, ids, flat, found.dual, found.intercepts))


def read_run(folder: Path) -> MklRun:
    """Load a run's model; UsageError in words if the folder is none of ``vidfeat mkl``."""
    meta = runs.read_json(folder, "model.json")
    if meta.get("format") != FORMAT or meta.get("version") != VERSION:
        raise UsageError(
            f"{folder}/model.json is {meta.get('format')!r} version {meta.get('version')}; 'vidfeat mkl' reads "
            f"{FORMAT!r} version {VERSION}. Train with 'vidfeat mkl train'."
        )
    with runs.complete(folder):
        return _read_model(folder, meta)


def _read_model(folder: Path, meta: dict[str, Any]) -> MklRun:
    if meta["kernel"] != "linear":
        stored = read_machines(folder / KERNELS_FILE)
        facts = stored.facts
        nodes = [X.reshape(len(X), count, -1) for X, count in zip(stored.codes, facts["nodes"], strict=True)]
        machines = NodeMachines(
            nodes, [np.array(scales) for scales in facts["scales"]], np.array(facts["betas"]), stored.dual,
            stored.intercepts, facts["kernel"], facts["gammas"], facts["combination"],
        )  # fmt: skip
        return MklRun(meta, None, None, machines)
    weights, biases = [], []
    for number, name in enumerate(meta["classes"]):
        path = folder / runs.model_file(number)
        try:
            text = path.read_text(encoding="ascii")
        except OSError as error:
            raise UsageError(f"Cannot read the model of class {name!r}: {error}.") from None
        w, b, labels = parse_linear_model(text, sum(stream["dimension"] for stream in meta["streams"]))
        sign = 1.0 if labels[0] == 1 else -1.0
        weights.append(sign * w)
        biases.append(sign * b)
    return MklRun(meta, np.array(weights), np.array(biases), None)


def beta_facts(model: MultipleKernelSVC, streams: Sequence[Stream], classes: Sequence[str]) -> dict[str, Any]:
    """The content of beta.json: for every stream, of all classes or of each, the weights level by level."""
    rows = model.beta_[None] if model.beta_.ndim == 1 else model.beta_
    names = (
        ["all classes"] if model.beta_.ndim == 1 else list(classes) if len(rows) > 1 else [" against ".join(classes)]
    )
    found, at = [], 0
    for stream in streams:
        count = len(stream.blocks)
        for name, beta in zip(names, rows[:, at : at + count], strict=True):
            found.append({"stream": stream.name, "classes": name, "levels": by_levels(beta)})
        at += count
    return {"method": model.method, "combination": model.combination, "simplex": model.simplex, "weights": found}


def by_levels(beta: np.ndarray) -> list[list[float]]:
    """Weights cut into levels; one row where the nodes are no whole pyramid."""
    count = len(beta)
    if (count + 1) & count:
        return [beta.tolist()]
    edges = [2**level - 1 for level in range((count + 1).bit_length())]
    return [beta[a:b].tolist() for a, b in pairwise(edges)]


def heat_map(facts: dict[str, Any]) -> bytes:
    """beta.json as a PNG; with very many classes their mean."""
    entries = facts["weights"]
    streams = list(dict.fromkeys(entry["stream"] for entry in entries))
    groups = {name: [entry for entry in entries if entry["stream"] == name] for name in streams}
    single = all(len(group) == 1 for group in groups.values())
    trees = []
    if not single and len(entries) > _MOST_TREES:
        for name, group in groups.items():
            levels = [np.mean(level, axis=0) for level in zip(*(entry["levels"] for entry in group), strict=True)]
            trees.append(WeightTree(f"{name}, mean of {len(group)} classes", levels))
    else:
        for entry in entries:
            title = entry["stream"] if single else f"{entry['stream']}: {entry['classes']}"
            trees.append(WeightTree(title, [np.array(level) for level in entry["levels"]]))
    picture = io.BytesIO()
    weight_trees_figure(trees, columns=1 if len(trees) <= 3 else 3).savefig(picture, format="png")
    return picture.getvalue()
