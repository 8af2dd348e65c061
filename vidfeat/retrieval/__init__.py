"""Retrieval: exact nearest neighbours among codes, ranks of what should be found, and protocols that say what that is.

Names load on first use, because torch takes seconds to import. ``search.search`` is not among them, as it bears the
name of its module.
"""

from importlib import import_module

_HOME = {
    "positive_ranks": "ranks",
    "Selection": "rows",
    "Query": "queries",
    "Task": "queries",
    "label_task": "by_label",
    "holidays_task": "holidays",
    "landmark_task": "landmarks",
    "Judged": "evaluation",
    "judge": "evaluation",
    "figures": "evaluation",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
