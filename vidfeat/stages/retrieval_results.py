"""What a folder of ``vidfeat retrieve`` says: which codes were searched, and how well they did."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidfeat.errors import UsageError
from vidfeat.stages.coded_rows import STREAM
from vidfeat.stages.config.encode import LOCAL_METHODS

FILE = "results.json"


@dataclass(frozen=True)
class Searched:
    """One search.

    Attributes:
        name: of its folder, or the whole path if names repeat.
        network: that the features come from; "" if nobody knows, as of imported ones.
        layer: without the size of its input; several that stand side by side are joined by ``+``.
        input: side of the network's input in pixels, such as ``224``, or ``224+448``; "" if nobody knows.
        method: how codes were made, in words.
        reduced: whether principal components were taken of them.
        dimension: of a code.
        map, recall, hit: mean average precision; recall and hit among the first one.
        task: equal for searches that can be compared, with a text that says what was asked.
    """

    name: str
    network: str
    layer: str
    input: str
    method: str
    reduced: bool
    dimension: int
    map: float
    recall: float
    hit: float
    task: tuple[str, tuple[str, ...]]

    @property
    def line(self) -> tuple[str, str, bool]:
        """What all points of one line in a plot over layers have in common."""
        return self.method, self.input, self.reduced


def read_searched(folder: Path, name: str) -> Searched:
    """UsageError in words if the folder is not of ``vidfeat retrieve``."""
    results = _read(folder)
    try:
        return _searched(results, name)
    except (KeyError, TypeError, AttributeError, ValueError):
        maker = "'vidfeat svm train'" if "confusion" in results else "something else, or another version of vidfeat"
        raise UsageError(
            f"{folder / FILE} is not what 'vidfeat retrieve' writes, but of {maker}. Give folders of "
            "'vidfeat retrieve CODES -o OUT'."
        ) from None


def _read(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UsageError(f"{folder} {what}; give folders of 'vidfeat retrieve CODES -o OUT'.")
    try:
        content = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except FileNotFoundError:
        raise UsageError(f"{folder} has no {FILE}; 'vidfeat retrieve CODES -o OUT' writes one.") from None
    except (OSError, json.JSONDecodeError) as error:
        raise UsageError(f"Cannot read {path}: {error}.") from None
    return content if isinstance(content, dict) else {}


def _searched(results: Mapping[str, Any], name: str) -> Searched:
    provenance = results["provenance"]
    settings, encode = provenance.get("features") or {}, provenance.get("encode") or {}
    named = [_layer_and_kind(feature) for feature in (provenance.get("feature") or "").split(",")]
    layers, kinds = [layer for layer, _ in named], {kind for _, kind in named if kind}
    queries = tuple(entry["query"] for entry in results["queries"])
    return Searched(
        name=name,
        network=settings.get("backbone") or "",
        layer="+".join(dict.fromkeys(layer.partition("@")[0] for layer in layers)) or "?",
        input="+".join(dict.fromkeys(_input(layer, settings) for layer in layers)),
        method=_method(encode, kinds, results["metric"]),
        reduced="reduce" in encode,
        dimension=results["dimension"],
        map=results["map"],
        recall=results["recall"]["1"],
        hit=results["hit"]["1"],
        task=(
            f"{len(queries)} queries against {results['n_database']} items, protocol {results['protocol']}",
            queries,
        ),
    )


def _layer_and_kind(feature: str) -> tuple[str, str]:
    """``code.conv5.vlad``, as ``extract --encode`` stores it, is (conv5, vlad); anything else has no kind."""
    layer, _, kind = feature.removeprefix(STREAM).rpartition(".")
    return (layer, kind) if feature.startswith(STREAM) and kind in LOCAL_METHODS else (feature, "")


def _input(layer: str, settings: Mapping[str, Any]) -> str:
    size = layer.partition("@")[2] or settings.get("size") or ""
    return str(size)


def _method(encode: Mapping[str, Any], kinds: set[str], metric: str) -> str:
    method = "+".join(sorted(kinds)) or encode.get("method", "codes")
    notes = [encode["norm"]] if encode.get("norm") else []
    notes += ["per frame"] if encode.get("per") == "frame" else []
    notes += [encode["direction"]] if encode.get("direction", "forward") != "forward" else []
    notes += [f"pyramid of {encode['pyramid']}"] if encode.get("pyramid", 1) > 1 else []
    notes += [metric] if metric != "l2" else []
    return " ".join([method, *([f"({', '.join(notes)})"] if notes else [])])
