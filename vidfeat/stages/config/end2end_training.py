"""Options of how ``vidfeat end2end train`` goes about it: schedule, precision, augmentation, validation, files."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import check_positive, option

TRAINING = "Training"
_INPUT = "Input"
_SPEED = "Speed and memory"
_FILES = "Files and runs"


@dataclass(frozen=True)
class TrainingOptions:
    """How a video network is trained. None: as the preset has it."""

    preset: Literal["icml2016", "pyramid-ucf101", "pyramid-hmdb51", "pyramid-jhmdb21"] = option(
        "icml2016",
        "Published settings, of which options below change single ones. icml2016: 60 epochs, one video per step, "
        "learning rate 0.01 to 1e-4. pyramid-ucf101, -hmdb51, -jhmdb21: 130, 100, 65 epochs of 8 videos per step, 1e-3 "
        "for rgb and 5e-3 for flow, in steps.",
        panel=TRAINING,
    )
    epochs: int | None = option(None, "Passes over the training videos.", panel=TRAINING)
    batch: int | None = option(
        None, "Videos in one step of the optimiser, of any lengths, over all processes.", panel=TRAINING
    )
    lr: float | None = option(None, "Learning rate at the beginning.", panel=TRAINING)
    schedule: Literal["constant", "log", "steps"] | None = option(
        None,
        "How it goes on: constant; log: to --lr-end with equal ratios; steps: divided by 10 at the epochs --lr-at.",
        panel=TRAINING,
    )
    lr_end: float | None = option(
        None,
        "Learning rate of the last epoch, for --schedule log (default: as far below --lr as in the preset).",
        panel=TRAINING,
    )
    lr_at: str | None = option(
        None, "Comma-separated epochs, counted from 0, for --schedule steps.", panel=TRAINING, metavar="N[,N…]"
    )
    momentum: float | None = option(None, "Momentum of SGD.", panel=TRAINING)
    weight_decay: float | None = option(
        None, "Weight decay of SGD; weights of pyramid parts and of streams have none.", panel=TRAINING
    )
    warmup: float | None = option(None, "Epochs over which the learning rate rises from 0.", panel=TRAINING)
    frame_lr: float | None = option(
        None, "Learning rate of the network of frames as a multiple; 0 leaves it as it is.", panel=TRAINING
    )
    head_lr: float | None = option(
        None, "Learning rate of pooling and classifier as a multiple.", panel=TRAINING
    )  # fmt: skip
    clip: float | None = option(None, "Largest norm of a step's gradient. By default any.", panel=TRAINING)
    patience: int | None = option(
        None, "Stop after this many epochs without a better validation score. Needs validation.", panel=TRAINING
    )
    surrogate: int | None = option(
        None,
        "Only every K-th frame carries gradient, other ones in each epoch: faster, and not exact. 1 = all.",
        panel=TRAINING,
        metavar="K",
    )
    rescale: bool = option(False, "Multiply the surrogate gradient by K.", panel=TRAINING)
    seed: int = option(
        0, "Of random weights, the order of videos, augmentation and dropout; the same seed gives the same run.",
        panel=TRAINING,
    )  # fmt: skip

    split: str | None = option(
        None, "Column that says train, val or test. May be left out if there is only one.", panel=_INPUT
    )
    validation: Literal["auto", "val", "none"] = option(
        "auto",
        "Items that choose the best epoch: those that the split calls val (val); auto = those, if there are any; none "
        "= the last epoch is kept. The split's test items never choose.",
        panel=_INPUT,
    )
    val_share: float | None = option(
        None,
        "Take this share of the training items for validation instead, whole groups (recordings); no class loses all "
        "its training items.",
        panel=_INPUT,
    )
    no_augment: bool = option(
        False,
        "Always the centre of the frames. By default every epoch sees another crop, scale and mirror image of each "
        "video, the same for all its frames.",
        panel=_INPUT,
    )
    no_flip: bool = option(False, "No mirror images, for classes that differ in left and right.", panel=_INPUT)
    smallest_crop: float = option(
        0.8, "Side of the smallest crop, as a share of the largest; 1 = no change of scale.", panel=_INPUT
    )
    features: Path | None = option(
        None,
        "Features file of 'vidfeat extract': train pooling and classifier alone, on stored frame vectors of the listed "
        "items.",
        panel=_INPUT,
    )
    feature: str | None = option(
        None, "Which feature of it, such as fc7. May be left out if there is only one.", panel=_INPUT
    )

    precision: Literal["fp32", "tf32", "bf16", "fp16"] | None = option(
        None, "Arithmetic of the network of frames; weights stay float32. tf32 and fp16 need a GPU.", panel=_SPEED
    )
    chunk: int | None = option(
        None,
        "Frames in the network at once; a video of any length takes no more memory than that. By default by the free "
        "memory. It changes no number beyond rounding.",
        panel=_SPEED,
    )
    compile: bool = option(False, "Run the network of frames through torch.compile.", panel=_SPEED)
    device: str = option(
        "auto", "cpu or cuda:N; auto = a GPU if there is one. Under torchrun each process takes its own.", panel=_SPEED
    )
    workers: int | None = option(
        None,
        "Processes that decode ahead of the training, in each of its processes; 0 = a thread. By default by the number "
        "of cores.",
        panel=_SPEED,
    )
    threads: int | None = option(None, "CPU threads that compute. By default all cores.", panel=_SPEED)

    cache: Path | None = option(
        None,
        "Folder for decoded frames, about 0.2 MB each at 256 pixels; several runs may share it. By default RUN/cache.",
        panel=_FILES,
    )
    log_steps: bool = option(False, "Also a row per step, in RUN/steps.csv.", panel=_FILES)
    tensorboard: bool = option(
        False, "Also write RUN/tensorboard. Needs the package tensorboard (pip install vidfeat[train]).", panel=_FILES
    )
    overwrite: bool = option(False, "Discard a run that RUN holds, and start anew.", panel=_FILES)

    def check_training(self) -> None:
        """UsageError for numbers that cannot be, and options that contradict each other."""
        check_positive(self, "epochs", "batch", "lr", "lr_end", "clip", "patience", "surrogate", "chunk", "threads")
        if self.workers is not None and self.workers < 0:
            raise UsageError(f"--workers is {self.workers}; it must be 0 or more.")
        if not 0 < self.smallest_crop <= 1:
            raise UsageError(f"--smallest-crop is {self.smallest_crop:g}; it must be above 0, and 1 at most.")
        if self.val_share is not None and not 0 < self.val_share < 1:
            raise UsageError(f"--val-share is {self.val_share:g}; it must be between 0 and 1, such as 0.2.")
        if self.val_share is not None and self.validation != "auto":
            raise UsageError("--val-share and --validation contradict each other; give one of them.")
        if self.patience is not None and self.validation == "none":
            raise UsageError("--patience needs validation, and --validation none leaves it out. Drop one of them.")
        if self.feature is not None and self.features is None:
            raise UsageError(f"--feature {self.feature} has no effect without --features FEATS.h5.")
        if self.rescale and (self.surrogate or 1) == 1:
            raise UsageError("--rescale has no effect without --surrogate K, K above 1.")
        for name in ("momentum", "weight_decay", "warmup", "frame_lr", "head_lr"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(f"--{name.replace('_', '-')} is {value:g}; it must be a number of 0 or more.")
        self.lr_epochs  # noqa: B018 - checked here, used later

    @property
    def lr_epochs(self) -> tuple[int, ...]:
        """The values of ``lr_at``; UsageError if they are none."""
        if self.lr_at is None:
            return ()
        parts = str(self.lr_at).split(",")
        if not all(part.strip().isdecimal() for part in parts):
            raise UsageError(f"--lr-at is {self.lr_at!r}; it must be epochs joined by commas, such as 80,110.")
        return tuple(sorted({int(part) for part in parts}))
