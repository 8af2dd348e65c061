"""Builds a Typer command from a stage's config dataclass, and turns its outcome into output and an exit code."""

import dataclasses
import difflib
import importlib
import inspect
import json
import logging
import re
import sys
import tomllib
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from vidfeat import interrupt
from vidfeat.cli import console
from vidfeat.errors import UsageError, VidfeatError
from vidfeat.stages.config.options import flag_of

log = logging.getLogger("vidfeat")

_COMMON = "Common"
_COMMON_OPTIONS = {
    "config": (Path | None, None, "--config", "TOML file of options; flags typed here win over it."),
    "json": (bool, False, "--json", "Print the summary as JSON on stdout."),
    "quiet": (bool, False, "--quiet", "Only warnings and errors; no progress."),
    "verbose": (bool, False, "--verbose", "Say more, and show the traceback of an error."),
    "log": (Path | None, None, "--log", "Also append all messages to this file."),
}
_SHORT = {"quiet": "-q", "verbose": "-v"}

# Tables that a --config file may have: one per command, filled in as commands are added.
_tables: set[str] = set()


def add_command(
    app: typer.Typer,
    name: str,
    config_class: type,
    stage: str,
    *,
    render: Callable[[dict[str, Any]], str],
    help: str,
    group: str = "",
    resumable: bool = False,
) -> None:
    """Register ``name``: parse options into ``config_class``, call the stage, print ``render(facts)``.

    ``stage`` is ``module`` (its ``run``) or ``module:function`` below ``vidfeat.stages``, imported only when the
    command runs, so that ``--help`` stays fast. A stage returns a summary with ``as_dict()`` and ``exit_code``.
    ``resumable``: a second run goes on where the first was stopped.
    """
    table = f"{group}.{name}" if group else name
    _tables.add(table)

    def command(ctx: typer.Context, **given: Any) -> None:
        common = {key: given.pop(f"common_{key}") for key in _COMMON_OPTIONS}
        typed = {key for key in given if ctx.get_parameter_source(key).name != "DEFAULT"}
        console.configure(quiet=common["quiet"], verbose=common["verbose"], log_file=common["log"])
        raise typer.Exit(
            _guard(
                lambda: _execute(config_class, given, typed, common, table, stage, render), common["verbose"], resumable
            )
        )

    command.__signature__ = inspect.Signature([_context_parameter(), *_parameters(config_class), *_common_parameters()])
    command.__annotations__ = {p.name: p.annotation for p in command.__signature__.parameters.values()}
    command.__doc__ = help
    app.command(name, help=help, context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})(
        command
    )


def _execute(config_class, given, typed, common, table, stage, render) -> int:
    values = {key: value for key, value in given.items() if key in typed}
    if common["config"] is not None:
        values = {**read_config_file(common["config"], config_class, table), **values}
    missing = [_shown_name(f) for f in dataclasses.fields(config_class) if _is_required(f) and not values.get(f.name)]
    if missing:
        command = table.replace(".", " ")
        raise UsageError(f"Missing {', '.join(missing)}: 'vidfeat {command} --help' shows how to give it.")
    config = config_class(**values)
    module, _, function = stage.partition(":")
    summary = getattr(importlib.import_module(f"vidfeat.stages.{module}"), function or "run")(config)
    facts = summary.as_dict()
    sys.stdout.write((json.dumps(facts, indent=2, ensure_ascii=False) if common["json"] else render(facts)) + "\n")
    sys.stdout.flush()
    return summary.exit_code


def _guard(execute: Callable[[], int], verbose: bool, resumable: bool) -> int:
    """The exit code of ``execute``, with every error said on stderr."""
    try:
        return execute()
    except VidfeatError as error:
        log.error("%s", error, exc_info=verbose)
        return error.exit_code
    except (interrupt.Interrupted, KeyboardInterrupt) as stop:
        kept = ". Everything finished is kept; the same command goes on from there."
        log.warning("Stopped: %s%s", stop or "Ctrl-C", kept if resumable else "; nothing half-written is left.")
        return getattr(stop, "exit_code", 130)
    except BrokenPipeError:
        raise
    except Exception as error:
        log.error(
            "%s: %s. This is a bug of vidfeat; -v shows where.",
            type(error).__name__,
            error or "no message",
            exc_info=verbose,
        )
        return VidfeatError.exit_code


def read_config_file(path: Path, config_class: type, table: str) -> dict[str, Any]:
    """The options of ``table`` (e.g. ``extract`` or ``svm.train``) in a TOML file, checked against the dataclass."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"Cannot read --config {path}: {reason}.") from None
    _check_tables(path, content)
    for part in table.split("."):
        if part not in content:
            log.warning("%s has no table [%s]; no option was taken from it.", path, table)
            return {}
        content = content[part]
    hints = typing.get_type_hints(config_class)
    names = {flag_of(field.name)[2:]: field.name for field in dataclasses.fields(config_class)}
    values = {}
    for key, value in content.items():
        name = names.get(key.replace("_", "-"))
        if name is None:
            close = difflib.get_close_matches(key.replace("_", "-"), names, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"{path}: [{table}] has no option {key!r}; allowed are {', '.join(names)}.{meant}")
        values[name] = _convert(hints[name], value, f"{path}: [{table}] {key}")
    return values


def _check_tables(path: Path, content: dict[str, Any]) -> None:
    """UsageError for anything at the top of the file, or inside a group such as ``svm``, but the table of a command."""
    groups = {table.partition(".")[0] for table in _tables if "." in table}
    entries = {name: value for name, value in content.items() if name not in groups or not isinstance(value, dict)}
    for group in groups & (content.keys() - entries.keys()):
        entries |= {f"{group}.{name}": value for name, value in content[group].items()}
    for name, value in entries.items():
        if name not in _tables or not isinstance(value, dict):
            kind = f"table [{name}]" if isinstance(value, dict) else f"key {name!r} outside of a table"
            raise UsageError(f"{path} has the {kind}; allowed are the tables {', '.join(sorted(_tables))}.")


def _convert(hint: Any, value: Any, where: str) -> Any:
    """``value`` from TOML as the field's type."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) is list and isinstance(value, list):
        return [_convert(options[0], entry, where) for entry in value]
    if typing.get_origin(hint) is typing.Literal:
        if value in options:
            return value
        raise UsageError(f"{where} is {value!r}; allowed are {', '.join(map(str, options))}.")
    if options and typing.get_origin(hint) is not list:
        candidates = [option for option in options if option is not type(None)]
        return _convert(candidates[0], value, where)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint in (str, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return hint(value)  # a number is a text too, as it is on the command line: C = 10
    if hint in (str, int, float, bool) and type(value) is hint:
        return value
    wanted = "list, such as ['a', 'b']" if typing.get_origin(hint) is list else getattr(hint, "__name__", hint)
    raise UsageError(f"{where} is {value!r}, a {type(value).__name__}; it must be a {wanted}.")


def _context_parameter() -> inspect.Parameter:
    return inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)


def _parameters(config_class: type) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(config_class)
    return [_parameter(field, hints[field.name]) for field in dataclasses.fields(config_class)]


def _parameter(field: dataclasses.Field, hint: Any) -> inspect.Parameter:
    meta = field.metadata
    if meta["argument"]:
        info = typer.Argument(help=_plain(meta["help"]), metavar=meta["metavar"], show_default=False)
    else:
        names = [flag_of(field.name)] + ([meta["short"]] if meta["short"] else [])
        info = typer.Option(*names, help=_plain(meta["help"]), metavar=meta["metavar"], rich_help_panel=meta["panel"])
    # A required field may still come from --config, so Typer gets None and _execute reports what is missing.
    default = None if _is_required(field) else field.default
    annotation = Annotated[hint | None if _is_required(field) else hint, info]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _common_parameters() -> list[inspect.Parameter]:
    parameters = []
    for name, (hint, default, flag, help) in _COMMON_OPTIONS.items():
        flags = [flag] + ([_SHORT[name]] if name in _SHORT else [])
        info = typer.Option(*flags, help=help, rich_help_panel=_COMMON)
        parameters.append(
            inspect.Parameter(
                f"common_{name}", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, info]
            )
        )
    return parameters


def _plain(help: str) -> str:
    """``help`` such that Rich shows it as it is: ``[train]`` would be a style to it, and vanish."""
    return re.sub(r"\[(?=[a-z#/@])", r"\\[", help)


def _shown_name(field: dataclasses.Field) -> str:
    return field.metadata["metavar"] if field.metadata["argument"] else flag_of(field.name)


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
