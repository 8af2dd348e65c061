"""The command line, run in this process."""

from typer.testing import CliRunner, Result

from vidfeat.cli.main import app


def vidfeat(*arguments) -> Result:
    """``vidfeat ARGUMENTS`` on a terminal wide enough that help is not broken into lines."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200", "TERM": "dumb"})
