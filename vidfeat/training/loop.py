"""Training over epochs, with validation, early stopping and resuming."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidfeat.errors import UsageError, VidfeatError
from vidfeat.metrics import accuracy, mean_average_precision
from vidfeat.networks.model import VideoNetwork
from vidfeat.training.batch import VideoBatch
from vidfeat.training.checkpoint import Checkpoint, model_state
from vidfeat.training.distributed import World
from vidfeat.training.settings import Settings
from vidfeat.training.steps import Done, NotFiniteError, Stepper, betas

Train = Callable[[int, int], Iterable[VideoBatch]]
Save = Callable[[Checkpoint, bool], None]
_SUMS = ("videos", "frames", "loss", "correct", "failed", "pooling_seconds", "data_seconds", "seconds")


@dataclass(frozen=True)
class Validation:
    """What decides which epoch was best.

    Attributes:
        batches: gives this process's videos, without targets; each ``number`` is a row of ``targets``.
        targets: of all validation videos: class numbers ``[n]``, or 0/1 ``[n, K]``.
    """

    batches: Callable[[], Iterable[VideoBatch]]
    targets: Tensor


@dataclass(frozen=True)
class Fitted:
    """How training ended.

    Attributes:
        stopped: ``done``, ``early`` (no better validation score for ``patience`` epochs) or ``interrupted``.
        epochs: finished.
        best_epoch, best: epoch with the best validation score, and the score; without validation the last epoch, None.
        history: the records of all epochs.
    """

    stopped: str
    epochs: int
    best_epoch: int
    best: float | None
    history: tuple[Mapping[str, Any], ...]


class Trainer:
    """Trains a video network, or predicts with it.

    ``log`` gets, in process 0, a record for every step: ``kind`` = ``step``, ``epoch``, ``position``, ``steps`` (done
    so far), ``videos``, ``frames``, ``loss`` (mean over the videos), ``accuracy`` (share of right first guesses),
    ``failed`` (videos left out), ``gradient_norm``, ``lr``, ``pooling_seconds``, ``data_seconds`` (waiting for
    videos), ``seconds`` and ``frames_per_second``; and for every epoch: ``kind`` = ``epoch``, the same sums and means
    over its steps, ``validation`` (a score 0…1 or None), ``best``, ``beta`` (stream -> β of its pyramids) and
    ``stream_weights`` (stream -> w).

    Args:
        model: moved to the process's device.
        settings: see there.
        world: the processes; by default this one alone, on the CPU.
        log: see above.
        about: plain values that checkpoints keep for whoever reads them: how the network was made, classes.
    """

    def __init__(
        self,
        model: VideoNetwork,
        settings: Settings,
        world: World | None = None,
        log: Callable[[dict[str, Any]], None] | None = None,
        about: Mapping[str, Any] | None = None,
    ):
        self.world = world or World.single()
        self.model = model.to(self.world.device, memory_format=torch.channels_last)
        self.settings, self.about = settings, dict(about or {})
        self._log = log if log is not None and self.world.rank == 0 else None
        self.world.agree(self.model)
        self.stepper = Stepper(self.model, settings, self.world)
        self._epoch, self._position, self._steps = 0, 0, 0
        self._best: float | None = None
        self._best_epoch = -1
        self._history: list[Mapping[str, Any]] = []
        self._sums = dict.fromkeys(_SUMS, 0.0)

    def fit(
        self,
        train: Train,
        steps: int,
        validation: Validation | None = None,
        save: Save | None = None,
        resume: Checkpoint | None = None,
        stop: Callable[[], bool] | None = None,
        save_seconds: float = 600.0,
    ) -> Fitted:
        """Train from the beginning or from a checkpoint.

        Args:
            train: (epoch, first step) -> this process's videos of every step from that one on.
            steps: of an epoch.
            validation: after every epoch.
            save: (checkpoint, whether it is the best so far), called in process 0 after every epoch, every
                ``save_seconds``, when asked to stop, and before :class:`NotFiniteError` is raised.
            resume: where to go on.
            stop: asked before every step; true ends training there.

        Raises:
            UsageError: the checkpoint belongs to another network or run.
            NotFiniteError: loss or gradient is NaN or infinite.
            ChunkMemoryError: the frames do not fit.
        """
        if resume is not None:
            self.restore(resume)
        save = save if save is not None and self.world.rank == 0 else None
        saved = perf_counter()
        while self._epoch < self.settings.epochs and not self._exhausted():
            waiting = iter(train(self._epoch, self._position))
            while self._position < steps:
                started = perf_counter()
                batch = next(waiting, None)
                if batch is None:
                    raise VidfeatError(
                        f"epoch {self._epoch} has {steps} steps, but only {self._position} came; go on from the last "
                        "checkpoint."
                    )
                waited = perf_counter() - started
                done = self._step(batch, steps, stop is not None and bool(stop()), save)
                if done is None:
                    self._keep(save, False)
                    return self._fitted("interrupted")
                self._note(done, waited, perf_counter() - started)
                if save is not None and perf_counter() - saved > save_seconds:
                    self._keep(save, False)
                    saved = perf_counter()
            self._end_epoch(validation, save)
            saved = perf_counter()
        return self._fitted("early" if self._epoch < self.settings.epochs else "done")

    def predict(self, batches: Iterable[VideoBatch], total: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores float64 ``[total, K]`` of videos by their numbers, from all processes, and bool ``[total]``: who came.

        Probabilities for cross-entropy, margins for hinge.
        """
        scores = torch.zeros(total, self.model.classes, dtype=torch.float64)
        seen = torch.zeros(total, dtype=torch.float64)
        for batch in batches:
            if len(batch):
                scores[list(batch.numbers)] = self.stepper.two_pass.scores(batch).to("cpu", torch.float64)
                seen[list(batch.numbers)] = 1.0
        scores, seen = self.world.sum_tensor(scores), self.world.sum_tensor(seen)
        return scores.cpu().numpy(), seen.cpu().numpy() > 0

    def checkpoint(self) -> Checkpoint:
        """The state now."""
        rng = {"cpu": torch.get_rng_state()}
        if self.world.device.type == "cuda":
            rng["cuda"] = torch.cuda.get_rng_state(self.world.device)
        return Checkpoint(
            model_state(self.model),
            self.stepper.momentum(),
            rng,
            self._epoch,
            self._position,
            self._steps,
            self.settings.as_dict(),
            self.about,
            self._best,
            self._best_epoch,
            tuple(self._history),
            dict(self._sums),
            self.stepper.scaler.state_dict(),
            self.stepper.two_pass.chunk,
        )

    def restore(self, state: Checkpoint) -> None:
        """Take up a state; UsageError if it is that of another network or run."""
        state.check_settings(self.settings.as_dict())
        state.load_model(self.model)
        self.stepper.restore(dict(state.momentum))
        if state.scaler:
            self.stepper.scaler.load_state_dict(dict(state.scaler))
        if state.chunk and self.settings.chunk is None:
            self.stepper.two_pass.chunk = state.chunk
        torch.set_rng_state(state.rng["cpu"])
        if "cuda" in state.rng and self.world.device.type == "cuda":
            torch.cuda.set_rng_state(state.rng["cuda"], self.world.device)
        self._epoch, self._position, self._steps = state.epoch, state.position, state.steps
        self._best, self._best_epoch = state.best, state.best_epoch
        self._history, self._sums = list(state.history), dict.fromkeys(_SUMS, 0.0) | dict(state.partial)

    def _step(self, batch: VideoBatch, steps: int, stop: bool, save: Save | None) -> Done | None:
        try:
            return self.stepper.step(batch, self._epoch, self._position, steps, stop)
        except NotFiniteError:
            self._keep(save, False)
            raise

    def _note(self, done: Done, waited: float, seconds: float) -> None:
        figures = asdict(done) | {"data_seconds": waited, "seconds": seconds}
        for name in _SUMS:
            self._sums[name] += figures[name]
        record = {"kind": "step", "epoch": self._epoch, "position": self._position, "steps": self._steps + 1}
        self._position += 1
        self._steps += 1
        if self._log is not None:
            figures = {name: figures[name] for name in _SUMS}
            self._log(record | _means(figures) | {"gradient_norm": _plain(done.gradient_norm), "lr": done.lr})

    def _end_epoch(self, validation: Validation | None, save: Save | None) -> None:
        score = None if validation is None else self._score(validation)
        # The first epoch is the best so far whatever came of it, so that there always is one.
        better = (
            validation is None
            or self._best_epoch < 0
            or (score is not None and (self._best is None or score > self._best))
        )
        if better:
            self._best, self._best_epoch = score, self._epoch
        weights = self.model.stream_weights.detach().cpu().tolist()
        record = {"kind": "epoch", "epoch": self._epoch, "steps": self._steps, **_means(self._sums),
                  "lr": self.stepper.rate(self._epoch, 0, 1), "validation": score, "best": better,
                  "beta": betas(self.model),
                  "stream_weights": dict(zip(self.model.streams, weights, strict=True))}  # fmt: skip
        self._history.append(record)
        self._epoch, self._position, self._sums = self._epoch + 1, 0, dict.fromkeys(_SUMS, 0.0)
        if self._log is not None:
            self._log(record)
        self._keep(save, better)

    def _score(self, validation: Validation) -> float | None:
        targets = validation.targets.cpu().numpy()
        scores, seen = self.predict(validation.batches(), len(targets))
        if not seen.any():
            raise UsageError("no validation video could be read; check the manifest, or train without validation.")
        scores, targets = scores[seen], targets[seen]
        if not np.isfinite(scores).all():
            return None
        if self.model.loss == "hinge":
            relevant = targets if targets.ndim == 2 else np.eye(self.model.classes, dtype=np.int64)[targets]
            return _plain(mean_average_precision(relevant, scores))
        return accuracy(targets, scores.argmax(1))

    def _exhausted(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self._position == 0 and self._epoch - 1 - self._best_epoch >= patience

    def _keep(self, save: Save | None, best: bool) -> None:
        if save is not None:
            save(self.checkpoint(), best)

    def _fitted(self, stopped: str) -> Fitted:
        return Fitted(stopped, self._epoch, self._best_epoch, self._best, tuple(self._history))


def _means(sums: Mapping[str, float]) -> dict[str, Any]:
    """Loss and accuracy per video, and speed, from sums."""
    videos = max(sums["videos"], 1)
    counts = {name: int(sums[name]) for name in ("videos", "frames", "failed")}
    times = {name: sums[name] for name in ("pooling_seconds", "data_seconds", "seconds")}
    return {**counts, "loss": sums["loss"] / videos, "accuracy": sums["correct"] / videos, **times,
            "frames_per_second": sums["frames"] / max(sums["seconds"], 1e-9)}  # fmt: skip


def _plain(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None
