"""Commands that learn codebooks of local features and apply reductions."""

from typing import Any

import typer

from vidfeat.cli.command import add_command
from vidfeat.cli.console import facts_text
from vidfeat.stages.config.codebook import CodebookApplyConfig, CodebookInfoConfig, CodebookTrainConfig
from vidfeat.words import counted

_TRAIN = (
    "Learn visual words (k-means), a Gaussian mixture, or principal components, from training items alone.\n\n"
    "The codebook then goes to 'vidfeat encode --method vlad|fv|bow --codebook BOOK', or to 'vidfeat extract --encode "
    "BOOK', which keeps no maps at all; one of kind pca to 'vidfeat codebook apply' or 'vidfeat encode --reduce'.\n\n"
    "Example:  vidfeat codebook train feats.h5 --feature conv5 --kind vlad -o book.h5"
)
_APPLY = (
    "Reduce codes by principal components, whitened, to L2 norm 1.\n\n"
    "Example:  vidfeat codebook apply pca128.h5 vlad.h5 -o vlad128.h5"
)
_INFO = "Say what a codebook holds and what it was learnt from.\n\nExample:  vidfeat codebook info book.h5"


def register(app: typer.Typer) -> None:
    book = typer.Typer(name="codebook", no_args_is_help=True, help="Learn what vlad, fv, bow and pca need.")
    options = {"group": "codebook"}
    add_command(book, "train", CodebookTrainConfig, "codebook:train", render=_render_trained, help=_TRAIN, **options)
    add_command(book, "apply", CodebookApplyConfig, "codebook:apply", render=_render_applied, help=_APPLY, **options)
    add_command(book, "info", CodebookInfoConfig, "codebook:info", render=facts_text, help=_INFO, **options)
    app.add_typer(book)


def _render_trained(facts: dict[str, Any]) -> str:
    arrays = ", ".join(f"{name} {shape}" for name, shape in facts["arrays"].items())
    provenance = facts["provenance"]
    source = f"{counted(provenance['samples'], 'local feature')} of " if "samples" in provenance else ""
    items = counted(provenance["items"], "training item" if provenance["split"] else "item")
    items += f" of {provenance['split']}" if provenance["split"] else ""
    return f"{facts['output']}: {facts['kind']}, {arrays}; learnt from {source}{items}."


def _render_applied(facts: dict[str, Any]) -> str:
    return f"{facts['output']}: {counted(facts['items'], 'code')} of {facts['dimension']} numbers."
