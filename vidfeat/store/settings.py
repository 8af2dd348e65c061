"""Settings of a run, their fingerprint, and the words for settings that differ."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from vidfeat.errors import UsageError


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
    """In words, what ``new`` settings ("here") differ in from ``old`` ones ("there"); empty if in nothing."""
    return in_words(differences(old, new))


def in_words(difference: Mapping[str, tuple[Any, Any]]) -> str:
    """``fps: 6.0 there, 8.0 here; ...``"""
    show = {None: "not set"}.get
    parts = []
    for name, (old, new) in difference.items():
        there, here = (show(v) if v is None else json.dumps(v, ensure_ascii=False) for v in (old, new))
        parts.append(f"{name}: {there} there, {here} here")
    return "; ".join(parts)
