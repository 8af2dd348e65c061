"""Settings of a training run, and those that were published."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

from vidfeat.errors import UsageError

KINDS = ("constant", "log", "steps")


@dataclass(frozen=True)
class Schedule:
    """The learning rate of every epoch r, counted from 0.

    Attributes:
        lr: at the beginning.
        kind: ``constant``; ``log``, from ``lr`` to ``end`` with equal ratios over the epochs; ``steps``, divided by 10
            at each epoch of ``at``, or after every ``every`` epochs.
        end, at, every: see there.
    """

    lr: float
    kind: str = "constant"
    end: float | None = None
    at: tuple[int, ...] = ()
    every: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"schedule {self.kind!r} is unknown. Allowed: {', '.join(KINDS)}.")
        for name, value in (("lr", self.lr), ("end", self.end)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name}={value} is not allowed: a learning rate is a finite number > 0.")
        if self.kind == "log" and self.end is None:
            raise UsageError("a 'log' schedule needs the learning rate at its end.")
        if self.kind == "steps" and bool(self.at) == bool(self.every):
            raise UsageError("a 'steps' schedule needs the epochs of its steps or their distance, one of both.")

    def rate(self, epoch: int, epochs: int) -> float:
        """Learning rate of an epoch, 0…epochs − 1."""
        if self.kind == "log":
            return self.lr * (self.end / self.lr) ** (epoch / max(epochs - 1, 1))
        if self.kind == "steps":
            drops = epoch // self.every if self.every else sum(epoch >= at for at in self.at)
            return self.lr / 10.0**drops
        return self.lr


@dataclass(frozen=True)
class Settings:
    """How a network is trained; everything that changes the result, and ``chunk``.

    Attributes:
        epochs: passes over the training videos.
        schedule: of the learning rate.
        schedules: of single streams instead, by name: of their networks, poolings and classifiers.
        batch: videos per step, of all processes.
        momentum, weight_decay: of SGD. β of pyramids, and weights of streams, are not decayed.
        warmup: epochs over which the learning rate rises from 0, step by step; may be a fraction.
        frame_factor, head_factor: learning rate of the networks of frames, and of everything else, as multiples; 0
            leaves that part as it is.
        clip: largest norm of the gradient, None for any.
        patience: epochs without a better validation score after which training ends; None: never before its time.
        seed: of the order of videos and of masks.
        surrogate, rescale, precision, chunk, compile: see :class:`vidfeat.training.TwoPass`.
    """

    epochs: int = 60
    schedule: Schedule = field(default_factory=lambda: Schedule(0.01))
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    batch: int = 1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.0
    frame_factor: float = 1.0
    head_factor: float = 1.0
    clip: float | None = None
    patience: int | None = None
    seed: int = 0
    surrogate: int = 1
    rescale: bool = False
    precision: str = "fp32"
    chunk: int | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "surrogate"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is not allowed: at least 1.")
        for name in ("weight_decay", "warmup", "frame_factor", "head_factor"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name}={value} is not allowed: a finite number ≥ 0.")
        if not 0.0 <= self.momentum < 1.0:
            raise UsageError(f"momentum={self.momentum} is not allowed: 0 ≤ momentum < 1.")
        if self.clip is not None and not self.clip > 0:
            raise UsageError(f"clip={self.clip} is not allowed: the largest norm of the gradient is > 0.")
        if self.patience is not None and self.patience < 1:
            raise UsageError(f"patience={self.patience} is not allowed: at least 1 epoch.")

    def rate(self, stream: str, epoch: int, step: int, steps: int) -> float:
        """Learning rate of a stream (or of what belongs to none) in a step 0…steps − 1 of an epoch."""
        rate = self.schedules.get(stream, self.schedule).rate(epoch, self.epochs)
        passed = epoch + (step + 1) / steps
        return rate * min(1.0, passed / self.warmup) if self.warmup else rate

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = asdict(replace(self, schedules={})) | {
            "schedules": {name: asdict(schedule) for name, schedule in self.schedules.items()}
        }
        for schedule in (plain["schedule"], *plain["schedules"].values()):
            schedule["at"] = list(schedule["at"])
        return plain


def _pyramid(epochs: int, every: int, at: tuple[int, int]) -> Settings:
    motion = Schedule(5e-3, "steps", at=at)
    return Settings(epochs=epochs, schedule=Schedule(1e-3, "steps", every=every), schedules={"flow": motion}, batch=8)


# icml2016: B. Fernando, S. Gould, "Learning End-to-end Video Classification with Rank-Pooling", 2016: one video per
# step, learning rate 0.01 to 1e-4, 60 epochs, weight decay 5e-4; logarithmic steps and momentum 0.9 are ours.
# pyramid-*: "Deep multiple aggregation networks for action recognition": learning rates, their steps and numbers of
# iterations, read as epochs; momentum, weight decay and videos per step are ours.
PRESETS: Mapping[str, Settings] = MappingProxyType(
    {
        "icml2016": Settings(epochs=60, schedule=Schedule(0.01, "log", end=1e-4), batch=1),
        "pyramid-ucf101": _pyramid(130, 25, (80, 110)),
        "pyramid-hmdb51": _pyramid(100, 20, (60, 80)),
        "pyramid-jhmdb21": _pyramid(65, 10, (50, 60)),
    }
)


def preset(name: str, **changes) -> Settings:
    """The settings of that name, some of them changed.

    Raises:
        UsageError: an unknown preset, or values that are not allowed.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}; allowed are {', '.join(PRESETS)}.")
    return replace(PRESETS[name], **changes)
