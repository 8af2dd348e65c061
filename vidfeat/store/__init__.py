"""Features, codes and run folders on disk: the only package that imports h5py.

Everything is written under a temporary name, synced, and renamed, so that a file under its final name is whole.
"""

from importlib import import_module

_HOMES = {
    "FeatureWriter": "writer",
    "ItemWriter": "writer",
    "FeatureFile": "reader",
    "StoredItem": "reader",
    "open_features": "reader",
    "CodesWriter": "codes",
    "CodesFile": "codes",
    "open_codes": "codes",
    "merge": "merging",
    "verify": "verifying",
    "Problem": "verifying",
    "diff": "comparing",
    "Difference": "comparing",
    "summary": "describing",
    "import_features": "importing",
    "export_features": "exporting",
    "export_libsvm": "libsvm_text",
    "import_libsvm": "libsvm_text",
    "settings_differences": "settings",
    "write_bytes": "run",
    "write_json": "run",
    "write_text": "run",
    "write_csv": "run",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
