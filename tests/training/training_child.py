"""A small training run, for this process or one of its own: ``training_child.py '{"out": FILE, ...}'``.

Under RANK and WORLD_SIZE it takes its part of every step, as a process that torchrun started does.
"""

import json
import os
import signal
import sys
from pathlib import Path

import tiny
import torch

from vidfeat.store.run import write_bytes
from vidfeat.training import Schedule, Settings, Trainer, Validation, World, epoch_plan, share

LENGTHS = (5, 2, 9, 1, 4, 7, 3)
STREAMS = ("rgb", "flow")


def settings(**changes) -> Settings:
    given = {
        "epochs": 3,
        "batch": 3,
        "schedule": Schedule(0.02, "log", end=0.005),
        "seed": 5,
        "chunk": 4,
        "warmup": 0.5,
    }
    return Settings(**{**given, **changes})


def everything(pool: str = "pyramid", world: World | None = None, about=None, log=None, **changes):
    """(trainer, what fit takes besides)"""
    # Imported anew in a process of its own: nothing of the parent's is there.
    trainer = Trainer(tiny.model(pool, streams=STREAMS), settings(**changes), world, log, about)
    videos, world = tiny.batch(LENGTHS, STREAMS), trainer.world
    used = trainer.settings

    def train(epoch, first):
        for step in epoch_plan(len(LENGTHS), used.batch, used.seed, epoch)[first:]:
            yield tiny.part(videos, share(step, world.rank, world.size))

    def validation():
        mine = share(range(len(LENGTHS)), world.rank, world.size)
        yield from (tiny.part(videos, [number]) for number in mine)

    steps = len(epoch_plan(len(LENGTHS), used.batch, used.seed, 0))
    return trainer, {"train": train, "steps": steps, "validation": Validation(validation, videos.targets)}


def main(out: str, pools: list[str], kill_at: int = 0) -> None:
    torch.set_num_threads(1)
    world = World.from_env("cpu")

    def save(checkpoint, best):
        write_bytes(f"{out}.last", checkpoint.to_bytes())
        if checkpoint.steps == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    for pool in pools:
        trainer, given = everything(pool, world)
        trainer.fit(**given, save=save, save_seconds=0.0)
        write_bytes(f"{out}.{pool}.{world.rank}", trainer.checkpoint().to_bytes())
    world.leave()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(**json.loads(sys.argv[1]))
