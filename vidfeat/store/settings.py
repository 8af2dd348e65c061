"""Settings of a run, their fingerprint, and the words for settings that differ."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidfeat.errors import UsageError

# What other options hang on, the first before the second.
_LEADING = ("stream", "method")


def canonical(settings: Mapping[str, Any]) -> str:
    """The one JSON text of ``settings``: sorted keys, no spaces. UsageError for values that JSON cannot hold."""
    try:
        return json.dumps(dict(settings), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"Settings must be plain finite JSON values, so that they can be compared: {error}.") from None


def fingerprint(settings: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(settings).encode("utf-8", "surrogatepass")).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Option -> (value in ``old``, value in ``new``) for every option that differs; a missing option counts as None."""
    plain_old, plain_new = json.loads(canonical(old)), json.loads(canonical(new))
    names = sorted({*plain_old, *plain_new})
    return {n: (plain_old.get(n), plain_new.get(n)) for n in names if plain_old.get(n) != plain_new.get(n)}


def settings_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """In words, what ``new`` settings ("here") differ in from ``old`` ones ("there"); empty if in nothing.

    Another stream or method is named first, and options that then only one side has are left out: they follow from it.
    """
    found = differences(old, new)
    leading = [name for name in _LEADING if name in found]
    if leading:
        told = {leading[0], *(name for name in found if name in old and name in new)}
        found = {name: found[name] for name in [*leading, *found] if name in told}
    return "; ".join(f"{name}: {_shown(there)} there, {_shown(here)} here" for name, (there, here) in found.items())


def check_settings(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """UsageError if the file at ``path``, made with the settings ``there``, cannot be gone on with."""
    if found := settings_differences(there, here):
        raise UsageError(
            f"{path} was made with other settings ({found}). Use the same settings to go on, another output for a "
            "second file, or --overwrite to start anew."
        )


def _shown(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)
