"""What a device worker tells the recorder, in process or over a pipe: plain values only."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vidfeat.errors import VidfeatError


@dataclass(frozen=True)
class Rows:
    """Features of some consecutive frames of one item, by the names of their datasets.

    ``stream`` is what the datasets of their times and frames begin with: nothing, or ``flow.``.
    """

    item_id: str
    frames: np.ndarray
    times: np.ndarray
    features: dict[str, np.ndarray]
    stream: str = ""


@dataclass(frozen=True)
class Finished:
    """All rows of the item have been sent. ``state``: done, truncated or empty; ``attrs`` describe source and run."""

    item_id: str
    state: str
    reason: str
    attrs: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """The item cannot be had; rows already sent are void."""

    item_id: str
    reason: str


Event = Rows | Finished | Failed


@dataclass(frozen=True)
class ItemWanted:
    """A device process asks for an item; the answer is an Item, or None when all are handed out."""


@dataclass(frozen=True)
class WorkerEnded:
    """A device process has no more work; with an error, it broke off, and ``traceback`` says where."""

    error: VidfeatError | None = None
    traceback: str = ""
