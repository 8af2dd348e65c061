"""One step of stochastic gradient descent on whole videos, by all processes together."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidfeat.errors import UsageError, VidfeatError
from vidfeat.networks.model import VideoNetwork
from vidfeat.networks.pyramid import PyramidPooling
from vidfeat.training.batch import VideoBatch
from vidfeat.training.distributed import World
from vidfeat.training.settings import Settings
from vidfeat.training.two_pass import TwoPass


class NotFiniteError(VidfeatError):
    """A loss or gradient is NaN or infinite; the parameters are those before the step."""


@dataclass(frozen=True)
class Done:
    """What a step of all processes gave: sums over the step's videos."""

    videos: int
    frames: int
    loss: float
    correct: int
    failed: int
    pooling_seconds: float  # the mean over processes
    gradient_norm: float
    lr: float


class Stepper:
    """Owns the optimiser.

    Args:
        model: on its device.
        settings: of the run.
        world: the processes.
    """

    def __init__(self, model: VideoNetwork, settings: Settings, world: World):
        self.model, self.settings, self.world = model, settings, world
        self.groups = _groups(model, settings)
        if not self.groups:
            raise UsageError(
                f"nothing is left to train: the learning rate of the networks of frames is multiplied by "
                f"{settings.frame_factor:g} (--frame-lr), that of the rest by {settings.head_factor:g} (--head-lr). "
                "Give one above 0."
            )
        self.optimizer = torch.optim.SGD(self.groups, lr=settings.schedule.lr, momentum=settings.momentum)
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=settings.precision == "fp16")
        self.two_pass = TwoPass(
            model, world.device, settings.precision, settings.chunk, settings.surrogate, settings.rescale,
            settings.compile,
        )  # fmt: skip
        self.names = {value: name for name, value in model.named_parameters() if value.requires_grad}

    def step(self, batch: VideoBatch, epoch: int, position: int, steps: int, stop: bool = False) -> Done | None:
        """Take step ``position`` of ``steps`` of an epoch; None, without taking it, if any process wants to stop.

        Raises:
            NotFiniteError: see there.
        """
        videos, failed, stopping = self.world.sums([len(batch), len(batch.failed), stop])
        if stopping:
            return None
        if not videos:
            return Done(0, 0, 0.0, 0, int(failed), 0.0, 0.0, 0.0)
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * self.settings.rate(group["stream"], epoch, position, steps)
        self.optimizer.zero_grad(set_to_none=True)
        before = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        scale = self.scaler.scale if self.scaler.is_enabled() else None
        out = self.two_pass.backward(batch, self.settings.seed, epoch, videos, scale)
        self.world.sum_gradients(self.names)
        figures = [float(out.loss), _correct(out.scores, batch.targets), out.frames, out.pooling_seconds]
        loss, correct, frames, pooling = self.world.sums(figures)
        self.scaler.unscale_(self.optimizer)
        norm = float(nn.utils.clip_grad_norm_(list(self.names), self.settings.clip or math.inf))
        # Too large a scale of float16 gradients is no fault: the scaler leaves the step out and takes a smaller one.
        if not math.isfinite(loss) or not (math.isfinite(norm) or self.scaler.is_enabled()):
            for buffer, value in before:
                buffer.copy_(value)
            self.optimizer.zero_grad(set_to_none=True)
            raise NotFiniteError(self._complaint(batch, out.wild, loss, epoch, position))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        lr = self.rate(epoch, position, steps)
        return Done(int(videos), int(frames), loss, int(correct), int(failed), pooling / self.world.size, norm, lr)

    def rate(self, epoch: int, position: int, steps: int) -> float:
        """The learning rate that is logged: of the first stream, without its factors."""
        return self.settings.rate(next(iter(self.model.streams)), epoch, position, steps)

    def momentum(self) -> dict[str, Tensor]:
        """Copies of SGD's momentum on the CPU, by parameter name."""
        state = {name: self.optimizer.state[value].get("momentum_buffer") for value, name in self.names.items()}
        return {name: value.detach().to("cpu", copy=True) for name, value in state.items() if value is not None}

    def restore(self, momentum: dict[str, Tensor]) -> None:
        """Take up the momentum of :meth:`momentum`."""
        for value, name in self.names.items():
            if name in momentum:
                self.optimizer.state[value]["momentum_buffer"] = momentum[name].to(value.device, value.dtype, copy=True)

    def _complaint(self, batch: VideoBatch, wild: tuple[str, ...], loss: float, epoch: int, position: int) -> str:
        what = "the gradient is" if math.isfinite(loss) else "the loss is"
        if wild:
            what = f"frame vectors of {wild[0]!r} are"
        videos = ", ".join(map(repr, list(batch.ids)[:4])) or "other processes"
        return (
            f"{what} NaN or infinite in epoch {epoch}, step {position} (videos {videos}); training stopped, and the "
            "state before this step was kept. Ways out: a smaller learning rate, warm-up, a limit of the gradient's "
            "norm, or bf16 instead of fp16."
        )


def betas(model: VideoNetwork) -> dict[str, list[list[float]]]:
    """β of the pyramids, by stream."""
    return {name: stream.pool.beta.detach().cpu().tolist() for name, stream in model.streams.items()
            if isinstance(stream.pool, PyramidPooling)}  # fmt: skip


def _groups(model: VideoNetwork, settings: Settings) -> list[dict]:
    """Parameters by learning rate and weight decay; what has the factor 0 takes no gradient from now on."""
    groups: dict[tuple[str, float, float], list[nn.Parameter]] = {}
    for name, value in model.named_parameters():
        inside = name.split(".")
        stream = inside[1] if inside[0] == "streams" else ""
        factor = settings.frame_factor if inside[2:3] == ["frames"] else settings.head_factor
        if factor == 0.0:
            value.requires_grad_(False)
        if value.requires_grad:
            weighs = name == "fusion" or inside[2:4] == ["pool", "logits"]
            groups.setdefault((stream, factor, 0.0 if weighs else settings.weight_decay), []).append(value)
    return [{"params": values, "stream": stream, "factor": factor, "weight_decay": decay}
            for (stream, factor, decay), values in groups.items()]  # fmt: skip


def _correct(scores: Tensor, targets: Tensor) -> float:
    """Videos whose best class is right (one of the right ones)."""
    if not len(scores):
        return 0.0
    best = scores.argmax(1).cpu()
    right = best == targets.cpu() if targets.ndim == 1 else targets.cpu().gather(1, best[:, None])[:, 0] > 0
    return float(right.sum())
