"""Options of ``vidfeat report correspondence`` and ``vidfeat report patches``."""

from dataclasses import dataclass
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.stages.config.extract import NETWORK
from vidfeat.stages.config.options import argument, check_positive, option, required_option
from vidfeat.stages.config.running import SPEED

PICTURE = "Picture"
INPUTS = "Inputs"

_PNG = "PNG file to write."


@dataclass(frozen=True)
class LocalOptions:
    """Local features of which layers, of which frames."""

    backbone: str = option(
        "alexnet", "Any torchvision classification network, e.g. alexnet, vgg16, googlenet.", panel=NETWORK
    )
    layer: str = option(
        "conv3",
        "Layer that gives maps, or several, comma-separated, in one forward pass. 'vidfeat layers BACKBONE' lists "
        "them.",
        panel=NETWORK,
    )
    weights: str = option(
        "DEFAULT",
        "Torchvision weights (DEFAULT, IMAGENET1K_V1, …), a .pth or .safetensors file, or none (random values).",
        panel=NETWORK,
    )
    size: int | None = option(
        None,
        "Side of the square to which every frame is resized, ignoring its aspect. By default the weights' own; twice "
        "that gives finer cells.",
        panel=NETWORK,
    )

    overwrite: bool = option(False, "Replace a picture that exists already.")

    frames: int = option(8, "Frames of each video, spread evenly over it.", panel=INPUTS)
    timeout: float | None = option(
        None,
        "Seconds after which one item is given up. Decodes in child processes, which can be killed.",
        panel=INPUTS,
    )

    device: str = option("auto", "cpu or cuda:N; auto = a GPU if there is one.", panel=SPEED)
    batch_size: int | None = option(
        None, "Frames in one pass through the network. By default chosen for the network and device.", panel=SPEED
    )
    memory: float = option(4.0, "Gigabytes that frames and their local features may take.", panel=SPEED)

    @property
    def layer_names(self) -> list[str]:
        return [name.strip() for name in self.layer.split(",") if name.strip()]

    def check_local(self, output: Path) -> None:
        """UsageError for numbers that cannot be, and for an output that is no PNG."""
        check_positive(self, "size", "frames", "timeout", "batch_size", "memory")
        if not self.layer_names:
            raise UsageError("--layer is empty; name a layer. 'vidfeat layers BACKBONE' lists them.")
        if output.suffix.lower() != ".png":
            came = f"has the suffix {output.suffix!r}" if output.suffix else "has no suffix"
            raise UsageError(f"--output {output} {came}; the picture is written as .png.")


@dataclass(frozen=True)
class _Compared:
    target: Path = argument("Image, video, directory or manifest whose patches are replaced.", metavar="TARGET")
    references: list[Path] = argument(
        "Images, videos, directories or manifests that the patches come from. What is also a target does not give any "
        "to itself.",
        metavar="REFERENCES...",
    )
    output: Path = required_option(_PNG, short="-o")


@dataclass(frozen=True)
class CorrespondenceConfig(LocalOptions, _Compared):
    """What is rebuilt, from which pictures, and by which features."""

    neighbours: str = option(
        "1,5",
        "How many nearest patches are averaged; several numbers, comma-separated, stand side by side.",
        panel=PICTURE,
        metavar="K[,K]",
    )
    target_frames: int = option(1, "Frames of TARGET, if it is a video; each is a row of the picture.", panel=PICTURE)

    def __post_init__(self) -> None:
        self.check_local(self.output)
        check_positive(self, "target_frames")
        numbers = [text.strip() for text in self.neighbours.split(",")]
        if not all(text.isascii() and text.isdigit() and int(text) for text in numbers):
            raise UsageError(
                f"--neighbours is {self.neighbours!r}; it must be a whole number, 1 or more, or several of them with "
                "commas between, such as 1,5."
            )
        if len(set(self.counts)) < len(numbers):
            raise UsageError(f"--neighbours {self.neighbours} names a number twice; name each once.")

    @property
    def counts(self) -> list[int]:
        """The numbers of neighbours, in the order of the columns."""
        return [int(text) for text in self.neighbours.split(",")]


@dataclass(frozen=True)
class _Sampled:
    inputs: list[Path] = argument(
        "Images, videos, directories (searched recursively) or CSV manifests.", metavar="IN..."
    )
    output: Path = required_option(_PNG, short="-o")


@dataclass(frozen=True)
class PatchesConfig(LocalOptions, _Sampled):
    """Which pictures the patches come from, and how many are shown."""

    references: int = option(10, "Reference patches that are drawn; each is a row.", panel=PICTURE)
    neighbours: int | None = option(
        None,
        "Nearest patches in a row, at most one from each other image or video. By default 10, or as many as there are.",
        panel=PICTURE,
    )
    seed: int = option(0, "Seed of the draw of reference patches.", panel=PICTURE)

    def __post_init__(self) -> None:
        self.check_local(self.output)
        check_positive(self, "references", "neighbours")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; it must be 0 or more.")
