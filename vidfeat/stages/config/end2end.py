"""Options of ``vidfeat end2end train|predict|eval``."""

from dataclasses import dataclass
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.stages.config.end2end_network import SMALL, VideoNetworkOptions
from vidfeat.stages.config.end2end_training import TrainingOptions
from vidfeat.stages.config.frames import FramesConfig
from vidfeat.stages.config.options import argument, check_positive, flag_of, option, required_option

# What needs pixels, and has no effect on stored features.
_PIXELS = (
    "backbone", "layer", "weights", "dim", "network_dropout", "size", "warp", "stream", "flow_weights", "flow_stack",
    "flow_stride", "fps", "num_frames", "stride", "max_seconds", "timeout", "no_augment", "no_flip", "smallest_crop",
    "surrogate", "frame_lr", "chunk", "compile", "cache", "workers",
)  # fmt: skip


@dataclass(frozen=True)
class End2EndTrainConfig(TrainingOptions, VideoNetworkOptions, FramesConfig):
    """Which videos train which network, how, and into which folder."""

    inputs: list[Path] = argument(
        "CSV manifests with labels and a split, or directories of videos.", metavar="MANIFEST|FOLDER..."
    )
    output: Path = required_option(
        "Folder RUN: checkpoints, log, curves, and in the end results.json and predictions.csv of the test items. The "
        "same command again goes on where it was.",
        short="-o",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_training()
        if self.features is not None:
            for name in _PIXELS:
                if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                    raise UsageError(
                        f"{flag_of(name)} has no effect with --features, whose frame vectors are stored. Leave it out, "
                        "on the command line or in the --config file."
                    )
        self.check_network()
        if self.features is None and self.backbone == SMALL and self.weights not in ("DEFAULT", "none"):
            raise UsageError(
                f"--weights {self.weights} does not go with --backbone small, which has random values. Leave it out."
            )


@dataclass(frozen=True)
class End2EndPredictConfig:
    """From new videos to labels with a trained video network."""

    run: Path = argument("Folder of 'vidfeat end2end train'.", metavar="RUN")
    inputs: list[Path] = argument(
        "Videos, directories or manifests; for a run on --features a features file.", metavar="IN..."
    )
    output: Path | None = option(
        None, "Also write a CSV with id, label, predicted class and a score per class.", short="-o"
    )
    vectors: Path | None = option(
        None,
        "Also write the vectors of all frames, as the trained network sees them, into a features file for 'vidfeat "
        "encode' (feature frames; flow.frames of a flow stream).",
        metavar="FEATS",
    )
    device: str = option("auto", "cpu, cuda:0, …; auto = a GPU if there is one.")
    workers: int | None = option(None, "Processes that decode; 0 = a thread. By default by the number of cores.")
    chunk: int | None = option(None, "Frames in the network at once. By default by the free memory.")
    cache: Path | None = option(
        None,
        "Folder for decoded frames, such as RUN/cache to use those of the training. By default none is kept.",
    )
    top: int = option(3, "How many classes to print per item.")
    overwrite: bool = option(False, "Replace the file of --vectors if it exists.")

    def __post_init__(self) -> None:
        check_positive(self, "top", "chunk")
        if self.workers is not None and self.workers < 0:
            raise UsageError(f"--workers is {self.workers}; it must be 0 or more.")


@dataclass(frozen=True)
class End2EndEvalConfig:
    """The figures of runs, from their predictions."""

    runs: list[Path] = argument("Folders of 'vidfeat end2end train'; several give one row each.", metavar="RUN...")
    bootstrap: int = option(2000, "Resamplings of whole groups for the 95 % intervals; 0 = none.")
    seed: int = option(0, "Seed of the resampling.")

    def __post_init__(self) -> None:
        if self.bootstrap < 0:
            raise UsageError(f"--bootstrap is {self.bootstrap}; it must be 0 or more.")
