"""Commands that look at, join and convert files, and tell about networks and the machine."""

from typing import Any

import typer

from vidfeat.cli.command import add_command
from vidfeat.cli.console import facts_text, table
from vidfeat.stages.config import files
from vidfeat.words import counted


def register(app: typer.Typer) -> None:
    add_command(app, "layers", files.LayersConfig, "layers", render=_render_layers, help=_LAYERS)
    add_command(app, "info", files.InfoConfig, "info", render=facts_text, help=_INFO)
    add_command(app, "verify", files.VerifyConfig, "verify", render=_render_verify, help=_VERIFY)
    add_command(app, "diff", files.DiffConfig, "diff", render=facts_text, help=_DIFF)
    add_command(app, "merge", files.MergeConfig, "merge", render=_render_written, help=_MERGE)
    add_command(app, "import", files.ImportConfig, "import_", render=_render_written, help=_IMPORT)
    add_command(app, "export", files.ExportConfig, "export", render=_render_exported, help=_EXPORT)
    add_command(app, "doctor", files.DoctorConfig, "doctor", render=facts_text, help=_DOCTOR)


_LAYERS = "List the layers of a network, with the shape of what they give.\n\nExample:  vidfeat layers vgg16"
_INFO = (
    "Say what a features file, codes file or codebook holds; works while a run is writing it.\n\n"
    "Example:  vidfeat info feats.h5"
)
_VERIFY = (
    "Read every byte of features files and check it. Exit code 1 if anything is wrong.\n\n"
    "Example:  vidfeat verify feats.h5"
)
_DIFF = "Compare two features files. Exit code 1 if they differ.\n\nExample:  vidfeat diff a.h5 b.h5"
_MERGE = "Join the shards of one extraction.\n\nExample:  vidfeat merge feats.shard-*.h5 -o feats.h5"
_IMPORT = (
    "Turn features made by other tools into a features file.\n\n"
    "Example:  vidfeat import c3d.h5 --kind activitynet -o feats.h5"
)
_EXPORT = (
    "Write features, or flow, of every item for other tools.\n\n"
    "Example:  vidfeat export feats.h5 --feature fc7 -o out/  or  vidfeat export flow.h5 --form jpg -o out/"
)
_DOCTOR = "Check versions, codecs, devices and the CPU's abilities.\n\nExample:  vidfeat doctor"


def _render_layers(facts: dict[str, Any]) -> str:
    if "networks" in facts:
        return "\n".join(facts["networks"])
    return table(
        [[layer["name"], "×".join(map(str, layer["shape"])), layer["node"]] for layer in facts["layers"]],
        ["layer", "shape", "node"],
    )


def _render_verify(facts: dict[str, Any]) -> str:
    if not facts["problems"]:
        items, where = counted(facts["items"], "item"), counted(len(facts["files"]), "file")
        return f"{items} in {where}: all read, nothing wrong."
    rows = [[problem["file"], problem["id"], problem["what"]] for problem in facts["problems"]]
    return table(rows, ["file", "item", "problem"])


def _render_written(facts: dict[str, Any]) -> str:
    return f"{facts['output']}: {counted(facts['items'], 'item')}."


def _render_exported(facts: dict[str, Any]) -> str:
    kinds = {"csv": "row", "libsvm": "code", **dict.fromkeys(files.FLOW_FORMS, "field")}
    kind = kinds.get(facts["form"], "array")
    return f"{facts['output']}: {counted(facts['written'], kind)}."
