"""The command ``vidfeat``: only names, help texts and the way summaries look; the work is in ``vidfeat.stages``."""

import sys
from typing import Annotated

import typer

from vidfeat import __version__, interrupt
from vidfeat.cli import data, pipeline

app = typer.Typer(
    name="vidfeat",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="CNN features and optical flow from videos, temporal encoders, and classifiers.\n\n"
    "A first run:  vidfeat extract VIDEOS -o feats.h5  then  vidfeat encode feats.h5 --method rankpool -o codes.h5  "
    "then  vidfeat svm train codes.h5 --split split -o RUN  then  vidfeat predict RUN new.mp4",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"vidfeat {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of vidfeat itself."""


pipeline.register(app)
data.register(app)


def main() -> None:
    """Entry point of the console script."""
    interrupt.install_handlers()
    app()


if __name__ == "__main__":
    main()
