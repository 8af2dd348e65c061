"""The command ``vidfeat``: only names, help texts and the way summaries look; the work is in ``vidfeat.stages``."""

import atexit
import os
import signal
import sys
from typing import Annotated

import typer

from vidfeat import __version__, interrupt
from vidfeat.cli import codebook, data, dataset, end2end, frames, fusion, mkl, pipeline, report, search
from vidfeat.errors import UsageError

app = typer.Typer(
    name="vidfeat",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="CNN features and optical flow from videos, temporal encoders, and classifiers.\n\n"
    "A first run, on a folder with one folder of videos for each class:  vidfeat extract VIDEOS -o feats.h5 --fps 5  "
    "then  vidfeat encode feats.h5 --method rankpool -o codes.h5  then  vidfeat svm train codes.h5 "
    "--leave-one-group-out -o RUN  then  vidfeat predict RUN new.mp4",
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
end2end.register(app)
mkl.register(app)
dataset.register(app)
codebook.register(app)
fusion.register(app)
search.register(app)
frames.register(app)
data.register(app)
report.register(app)


def main() -> None:
    """Entry point of the console script."""
    interrupt.install_handlers()
    try:
        app()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else UsageError.exit_code
    _leave(code)


def _leave(code: int) -> None:
    """End the process without tearing down torch's libraries, which takes two seconds and does nothing for us.

    Whatever must happen at exit (flushing, child processes, log files) is registered with ``atexit`` and done first.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:  # the reader, such as head, has gone
            code = code or 128 + signal.SIGPIPE
    os._exit(code)


if __name__ == "__main__":
    main()
