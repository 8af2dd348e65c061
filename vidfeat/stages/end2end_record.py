"""What a training run says while it goes on: files, progress, messages, TensorBoard."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from vidfeat.errors import UsageError
from vidfeat.networks import VideoNetwork
from vidfeat.progress import Progress
from vidfeat.stages.config.end2end import End2EndTrainConfig
from vidfeat.stages.end2end_run import RunFolder
from vidfeat.training import Checkpoint

log = logging.getLogger("vidfeat")

_DRAW_SECONDS = 30.0  # between pictures of the curves; the last one is always drawn


class Recorder:
    """``log`` and ``save`` of :class:`vidfeat.training.Trainer`.

    Args:
        run: the folder.
        config: of the run.
        progress: counts epochs and frames.
        checkpoint: where the run goes on.
        first: whether this is process 0.
    """

    def __init__(
        self, run: RunFolder, config: End2EndTrainConfig, progress: Progress, checkpoint: Checkpoint | None, first: bool
    ) -> None:
        self._run, self._progress = run, progress
        self._measure = "accuracy" if config.loss == "ce" else "mean average precision"
        self.model: VideoNetwork | None = None
        self._drawn = time.monotonic()
        self._board = None
        if not first:
            return
        if config.log_steps:
            run.steps = run.steps_until(checkpoint.steps) if checkpoint is not None else []
        if config.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            # What was logged after the state that the run goes on from is logged again.
            purge = {"purge_step": checkpoint.steps + 1} if checkpoint is not None else {}
            self._board = SummaryWriter(str(run.folder / "tensorboard"), **purge)
        if checkpoint is not None:
            log.info("%s: going on after %d epochs and %d steps.", run.folder, checkpoint.epoch, checkpoint.position)
            for _ in checkpoint.history:
                progress.item_done()

    def log(self, record: dict[str, Any]) -> None:
        """A record of a step or an epoch, in process 0."""
        if record["kind"] == "step":
            self._progress.add_frames(record["frames"])
            if self._run.steps is not None:
                self._run.steps.append(record)
            self._show(record, ("loss", "lr", "frames_per_second"))
            return
        if not record["videos"]:
            raise UsageError("No training video could be read; the messages above say why. Correct the manifest.")
        self._progress.item_done()
        judged = "" if record["validation"] is None else f", validation {self._measure} {record['validation']:.3f}"
        log.info(
            "Epoch %d: loss %.4f, training accuracy %.3f%s, %.0f frames/s.%s", record["epoch"] + 1, record["loss"],
            record["accuracy"], judged, record["frames_per_second"],
            f" {record['failed']} videos failed." if record["failed"] else "",
        )  # fmt: skip
        self._show(record, ("accuracy", "validation"))
        self._show({"steps": record["steps"], **_weights(record)}, tuple(_weights(record)))

    def save(self, checkpoint: Checkpoint, best: bool) -> None:
        """After every epoch, and in between."""
        self._run.save(checkpoint, best, self.model)
        if checkpoint.history and time.monotonic() - self._drawn > _DRAW_SECONDS:
            self._drawn = time.monotonic()
            self._run.draw(checkpoint.history, self._measure)

    def close(self, history: Sequence[Mapping[str, Any]]) -> None:
        """At the end of training."""
        if self._board is not None:
            self._board.close()
        if self._run.held:
            self._run.draw(history, self._measure)

    def _show(self, record: Mapping[str, Any], names: tuple[str, ...]) -> None:
        if self._board is not None:
            for name in names:
                if record[name] is not None:
                    self._board.add_scalar(name.replace(":", "/"), record[name], record["steps"])


def warn_of_guessing(history: Sequence[Mapping[str, Any]], loss: str, classes: int) -> None:
    """A warning if no epoch was better than the same score for every class, whose cross-entropy is ln(classes)."""
    guess, least = math.log(classes), min((record["loss"] for record in history), default=0.0)
    if loss == "ce" and least >= guess:
        log.warning(
            "The training loss never fell below the %.3f = ln %d of guessing (least: %.3f). Try another --lr (smaller "
            "if the loss rose, see curves.png), --clip, or more --epochs.",
            guess, classes, least,
        )  # fmt: skip


def _weights(record: Mapping[str, Any]) -> dict[str, float]:
    """Learnt weights of streams and of parts of pyramids."""
    found = {f"weight:{name}": value for name, value in record["stream_weights"].items()}
    for stream, pyramids in record["beta"].items():
        for number, nodes in enumerate(pyramids):
            found |= {f"beta:{stream}:{number}:{node}": value for node, value in enumerate(nodes)}
    return found
