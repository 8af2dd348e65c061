"""The cheapest real extraction: SqueezeNet at 64 pixels runs the whole pipeline at a fraction of AlexNet's cost."""

from pathlib import Path

from videos import write_video

from vidfeat.stages import extract, flow
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.config.flow import FlowConfig

SMALL = {"backbone": "squeezenet1_1", "layers": "avgpool", "weights": "none", "size": 32, "device": "cpu", "threads": 1}
SMALL_FLAGS = "--backbone squeezenet1_1 --layers avgpool --weights none --size 32 --device cpu --threads 1".split()


def small(inputs, output, **options) -> ExtractConfig:
    return ExtractConfig(inputs=[Path(path) for path in inputs], output=Path(output), **{**SMALL, **options})


def run_small(inputs, output, **options):
    return extract.run(small(inputs, output, **options))


def write_clips(folder: Path) -> Path:
    """Six videos in three class folders."""
    for number, (label, frames) in enumerate([("a", 12), ("a", 30), ("b", 9), ("b", 17), ("c", 25), ("c", 11)]):
        (folder / label).mkdir(exist_ok=True, parents=True)
        write_video(folder / label / f"v{number}.mp4", frames, width=80, height=64)
    return folder


def small_flow(inputs, output, **options) -> FlowConfig:
    """Dense inverse search: the whole path at a hundredth of TV-L1's cost."""
    given = {"method": "dis", "device": "cpu", "threads": 2, **options}
    return FlowConfig(inputs=[Path(path) for path in inputs], output=Path(output), **given)


def run_flow(inputs, output, **options):
    return flow.run(small_flow(inputs, output, **options))
