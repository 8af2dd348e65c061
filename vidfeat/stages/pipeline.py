"""One device's share of a run: decoding threads feed what computes.

    decoder threads ──► bounded queue ──┬─────────────────────► batches ──► network ──► rows
                                        └──► pairs ──► fields ──┬──────────────────────► rows
                                                                └──► stacks ──► batches ──► network ──► rows

Least work per frame: one decode, one colour conversion, one resize, one copy into the batch, one forward pass. Decoders
run ahead by a bounded number of frames, so that memory does not depend on the length of a video. On a GPU the next
batch is assembled and copied while the last one is computed. On a CPU every core computes a batch, or some pairs, of
its own: threads that share one batch wait for each other at the end of every layer, and decoders make some of them late
each time.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import torch

from vidfeat.crew import torch_threads
from vidfeat.datasets.items import Item
from vidfeat.media.transforms import stack_frames
from vidfeat.stages.batches import Batcher
from vidfeat.stages.coded_rows import CodedRows
from vidfeat.stages.computers import Computers
from vidfeat.stages.decoding import CHUNK_FRAMES, Decoders
from vidfeat.stages.events import Event, Failed, Finished
from vidfeat.stages.fields import STREAM, FlowFields
from vidfeat.stages.flow_rows import JoinedEndings, Stacker
from vidfeat.stages.recipe import DevicePlan
from vidfeat.stages.under_way import Pending, Together
from vidfeat.stages.views import Scaled, size_suffix

if TYPE_CHECKING:
    from vidfeat.features import Extractor

_AHEAD = 32  # frames that decoders may be ahead of the computation of flow


class Taker(Protocol):
    """Takes the frames of items, in order per item, and emits rows and endings."""

    def add(self, item_id: str, frame: int, time: float, pixels: Any) -> None:
        """The next frame."""

    def end(self, ending: Finished | Failed) -> None:
        """No more of this item."""

    def flush(self) -> None:
        """No more at all: emit everything."""


def run_device(
    computers: Computers,
    next_item: Callable[[], Item | None],
    plan: DevicePlan,
    emit: Callable[[Event], None],
    idle: Callable[[], None] = lambda: None,
) -> None:
    """Compute what the plan asks of the items that ``next_item`` hands out, and ``emit`` rows and endings, in order per
    item.

    ``plan.workers`` threads decode; on a CPU ``plan.threads`` compute. ``idle`` is called at least five times a second
    while frames are awaited, and after every few frames; it may raise to stop the run.
    """
    crops = 10 if plan.geometry.ten_crop else 1
    frames = max([2 * _batch_size(network, plan) // crops for network in computers.networks], default=_AHEAD)
    ahead = frames + plan.workers * CHUNK_FRAMES
    if computers.encoders:
        emit = CodedRows(computers.encoders, emit)
    with Decoders(next_item, plan.decoding, plan.workers, ahead) as decoders, taker(computers, plan, emit) as frames:
        for entry in decoders.entries(idle):
            if isinstance(entry, Finished | Failed):
                frames.end(entry)
                continue
            for frame, time, pixels in zip(entry.frames, entry.times, entry.pixels, strict=True):
                frames.add(entry.item_id, frame, time, pixels)
        frames.flush()


@contextmanager
def taker(computers: Computers, plan: DevicePlan, emit: Callable[[Event], None]) -> Iterator[Taker]:
    """What takes the frames that ``plan.decoding`` gives; the threads that compute live as long."""
    with ExitStack() as stack:

        def threads(count: int, **options: Any) -> Executor:
            pool = ThreadPoolExecutor(count, thread_name_prefix="computer", **options)
            stack.callback(pool.shutdown, cancel_futures=True)  # a run that is stopped does not begin what waits
            return pool

        pool, flow_on_cpu = None, computers.flow is not None and computers.flow.device == "cpu"
        if any(network.device.type == "cpu" for network in computers.networks) or flow_on_cpu:
            # Where one call of the flow method takes all cores, a batch of a network does too, and they take turns.
            lanes = computers.flow.lanes if flow_on_cpu else plan.threads
            stack.enter_context(torch_threads(1))
            pool = threads(lanes, initializer=torch.set_num_threads, initargs=(plan.threads // lanes,))
        if computers.rgb is not None and computers.flow is not None:
            emit = JoinedEndings(2, emit)
        rgb = flow = None
        if computers.rgb is not None:
            rgb = _batcher(computers.rgb, plan, pool, emit)
        if computers.flow is not None:
            flow = _Flow(computers, plan, pool, pool if flow_on_cpu else threads(computers.flow.lanes), emit)
        yield _Both(rgb, flow) if rgb and flow else rgb or flow


def _batch_size(network: "Extractor", plan: DevicePlan) -> int:
    """Images of a batch: fewer where each comes in several sizes."""
    return plan.batch_size or max(1, int(network.suggested_batch / sum(scale**2 for scale in plan.recipe.scales)))


def _batcher(
    network: "Extractor", plan: DevicePlan, pool: Executor | None, emit: Callable[[Event], None], stream: str = ""
) -> Batcher:
    """Batches for a network: two under way on a GPU, one per thread and one waiting on a CPU."""

    submit = _submit_scaled if plan.recipe.scales != (1.0,) else _submit

    def start_on_gpu(pixels: list[torch.Tensor]) -> Pending:
        return submit(network, pixels)

    def start_on_cpu(pixels: list[torch.Tensor]) -> Pending:
        return pool.submit(lambda: submit(network, pixels).result())

    start, depth = (start_on_gpu, 2) if network.device.type == "cuda" else (start_on_cpu, plan.threads + 1)
    crops = 10 if plan.geometry.ten_crop else 1
    return Batcher(start, depth, emit, batch_size=_batch_size(network, plan), crops=crops, stream=stream)


def _submit(network: "Extractor", pixels: list[torch.Tensor]) -> Pending:
    return network.submit(stack_frames(pixels))


def _submit_scaled(network: "Extractor", pixels: list[Scaled]) -> Pending:
    """One batch for each size; layers of other sizes than the network's own have theirs in their names."""
    own, batches = network.input_spec.size, map(list, zip(*pixels, strict=True))
    return Together({size_suffix(batch[0].shape[-1], own): _submit(network, batch) for batch in batches})


class _Flow:
    """Frames to fields, and on to the network that sees them, if there is one."""

    def __init__(
        self,
        computers: Computers,
        plan: DevicePlan,
        pool: Executor | None,
        lanes: Executor,
        emit: Callable[[Event], None],
    ) -> None:
        flow, self._network = computers.flow, None
        pairs = flow.pairs
        if computers.flow_network is not None:
            self._network = _batcher(computers.flow_network, plan, pool, emit, STREAM)
            length = plan.recipe.flow_network["flow"].length
            emit = Stacker(self._network, plan.geometry, length, plan.recipe.flow_stride)
        elif plan.batch_size is not None:
            pairs = lambda shape: plan.batch_size  # noqa: E731
        # Pairs take longer where there is more motion: several calls wait, so that no thread does.
        self._fields = FlowFields(
            lambda pieces: lanes.submit(flow, pieces), 2 * flow.lanes + 1, emit, pairs=pairs, join=flow.joins
        )
        self.add, self.end = self._fields.add, self._fields.end

    def flush(self) -> None:
        self._fields.flush()
        if self._network is not None:
            self._network.flush()


class _Both:
    """The frames of both views, each to its own."""

    def __init__(self, rgb: Batcher, flow: _Flow) -> None:
        self._rgb, self._flow = rgb, flow

    def add(self, item_id: str, frame: int, time: float, pixels: tuple[torch.Tensor, Any]) -> None:
        self._rgb.add(item_id, frame, time, pixels[0])
        self._flow.add(item_id, frame, time, pixels[1])

    def end(self, ending: Finished | Failed) -> None:
        self._rgb.end(ending)
        self._flow.end(ending)

    def flush(self) -> None:
        self._rgb.flush()
        self._flow.flush()
