"""Videos that grow brighter or darker, which only their order tells apart, and a very cheap network for them."""

from pathlib import Path

from videos import write_video

from vidfeat.datasets.items import Item
from vidfeat.datasets.manifest import write_manifest
from vidfeat.stages import end2end
from vidfeat.stages.config.end2end import End2EndTrainConfig

TINY = {
    "backbone": "small", "dim": 8, "size": 16, "epochs": 2, "batch": 3, "lr": 0.01, "schedule": "constant",
    "device": "cpu", "workers": 0, "chunk": 16, "threads": 1, "no_flip": True,
}  # fmt: skip
TINY_FLAGS = (
    "--backbone small --dim 8 --size 16 --batch 3 --lr 0.01 --schedule constant --device cpu --workers 0 --chunk 16 "
    "--threads 1"
).split()


def brightening(index: int, width: int, height: int, level: int = 20, step: int = 20):
    """[H, W, 3] uint8, as bright as the frame is late."""
    import numpy as np

    picture = np.full((height, width, 3), min(255, max(0, level + step * index)), np.uint8)
    picture[: height // 3, : width // 2] //= 2
    return picture


def write_set(folder: Path, count: int = 8, parts: tuple[str, ...] = ("train", "train", "val", "test")) -> Path:
    """``count`` videos of each class, 7 to 9 frames, divided by their numbers; the manifest."""
    items = []
    for label, sign in (("brighter", 1), ("darker", -1)):
        for number in range(count):
            path = folder / f"{label}{number}.mp4"
            step = sign * (18 + number)
            level = 20 if sign > 0 else 220
            write_video(
                path, 7 + number % 3, width=32, height=24,
                picture=lambda i, w, h, level=level, step=step: brightening(i, w, h, level, step),
            )  # fmt: skip
            part = parts[number % len(parts)]
            items.append(Item(id=path.name, path=path, labels=(label,), group=f"g{number}", splits={"split": part}))
    write_manifest(folder / "set.csv", items)
    return folder / "set.csv"


def tiny(manifest: Path, output: Path, **options) -> End2EndTrainConfig:
    return End2EndTrainConfig(inputs=[manifest], output=output, **{**TINY, **options})


def train_tiny(manifest: Path, output: Path, **options):
    return end2end.train(tiny(manifest, output, **options))
