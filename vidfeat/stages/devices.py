"""Runs a computation on one device in this process, or on several in one spawned process each.

There is one writer, the calling process; the others ask it for items and send it events, each over a pipe of its own,
so that one that dies in the middle of a message harms no other. No process is ever forked.
"""

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch

from vidfeat.datasets.items import Item
from vidfeat.errors import UsageError, VidfeatError
from vidfeat.stages.computers import Computers
from vidfeat.stages.decoding import item_source
from vidfeat.stages.events import Event, Finished, ItemWanted, WorkerEnded
from vidfeat.stages.lanes import cores
from vidfeat.stages.pipeline import run_device
from vidfeat.stages.recipe import DevicePlan

log = logging.getLogger("vidfeat")

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_KEPT = "Everything finished is kept; run the same command again, perhaps with a smaller --batch-size."
_SPAWN = multiprocessing.get_context("spawn")


def resolve_devices(spec: str) -> list[str]:
    """``auto`` -> all visible GPUs, else the CPU; ``a,b`` -> [a, b]. UsageError for a device that is not there."""
    if spec == "auto":
        count = torch.cuda.device_count()
        return [f"cuda:{i}" for i in range(count)] or ["cpu"]
    devices = [name.strip() for name in spec.split(",") if name.strip()]
    if not devices:
        raise UsageError("--device is empty; allowed are auto, cpu, cuda:N, or a comma-separated list of them.")
    for name in devices:
        kind, _, number = name.partition(":")
        if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
            raise UsageError(
                f"--device {name!r} is unknown; allowed are auto, cpu, cuda:N, or a comma-separated list of them."
            )
        if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
            raise UsageError(
                f"--device {name}: this machine shows {torch.cuda.device_count()} CUDA devices to torch "
                f"{torch.__version__}. Use --device cpu, or run where nvidia-smi lists a GPU."
            )
    return devices


def default_workers(devices: Sequence[str]) -> int:
    """Decoding threads per device: the network shares the cores on a CPU, and leaves them free on a GPU."""
    share = cores_per_device(devices)
    return max(1, share // 2) if devices[0].startswith("cpu") else min(share, 16)


def cores_per_device(devices: Sequence[str]) -> int:
    """This process's share of the processors it may use, for each device."""
    return max(1, cores() // len(devices))


def run_one(
    computers: Computers,
    plan: DevicePlan,
    items: Sequence[Item],
    emit: Callable[[Event], None],
    idle: Callable[[], None],
) -> None:
    """Do ``items`` in this process. VidfeatError if the device fails or memory runs out."""
    with device_failures(computers.device):
        _run(computers, plan, item_source(items), emit, idle)


def run_many(
    devices: Sequence[str],
    plan: DevicePlan,
    items: Sequence[Item],
    emit: Callable[[Event], None],
    idle: Callable[[], None],
) -> None:
    """Do ``items`` with one spawned process per device; all take from one list of work.

    VidfeatError if a device fails or its process ends by itself; ``idle`` is called at least five times a second.
    """
    workers: dict[Connection, BaseProcess] = {}
    try:
        for name, device in zip(_names(devices), devices, strict=True):
            pipe, theirs = _SPAWN.Pipe()
            process = _SPAWN.Process(target=_device_main, name=name, args=(device, plan, theirs), daemon=True)
            with _signals_held():
                process.start()
                workers[pipe] = process
            theirs.close()  # held by the device process alone, so that its death ends the pipe
        _serve(workers, iter(items), emit, idle)
    finally:
        for process in workers.values():
            process.kill()  # at once: they have nothing to save, and ignore SIGTERM
        for pipe, process in workers.items():
            process.join(timeout=10)
            pipe.close()


@contextmanager
def device_failures(name: str) -> Iterator[None]:
    """Turn out of memory and errors of CUDA, which are neither wrong usage nor a bug, into a VidfeatError."""
    try:
        yield
    except Exception as error:
        if not _is_device_failure(error):
            raise
        raise VidfeatError(f"Device {name} failed: {_first_line(error)} {_KEPT}") from error


def _is_device_failure(error: BaseException) -> bool:
    if isinstance(error, UsageError):  # the extractor's words for out of memory
        return isinstance(error.__cause__, torch.OutOfMemoryError)
    if isinstance(error, MemoryError | torch.OutOfMemoryError | torch.AcceleratorError):
        return True
    # torch has no classes for these.
    marks = ("CUDA error", "cuDNN error", "DefaultCPUAllocator")
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in marks)


def _first_line(error: Exception) -> str:
    """CUDA's messages go on with advice for programmers."""
    words = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
    return words.partition("\n")[0].rstrip(".: ") + "."


def _run(
    computers: Computers,
    plan: DevicePlan,
    next_item: Callable[[], Item | None],
    emit: Callable[[Event], None],
    idle: Callable[[], None] = lambda: None,
) -> None:
    device = {"device": computers.describe()}

    def emit_with_device(event: Event) -> None:
        emit(replace(event, attrs=event.attrs | device) if isinstance(event, Finished) else event)

    run_device(computers, next_item, plan, emit_with_device, idle)


def _names(devices: Sequence[str]) -> list[str]:
    """Distinct names even when a device is listed twice (``cpu,cpu``)."""
    return [f"{name}#{i}" if devices.count(name) > 1 else name for i, name in enumerate(devices)]


@contextmanager
def _signals_held() -> Iterator[None]:
    """Block the signals that stop a run: a process started meanwhile is deaf to them, and none is lost here."""
    resource_tracker.ensure_running()  # would otherwise be started with the process, and then unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(
    workers: dict[Connection, BaseProcess],
    items: Iterator[Item],
    emit: Callable[[Event], None],
    idle: Callable[[], None],
) -> None:
    running = dict(workers)
    while running:
        idle()
        for pipe in wait(list(running), timeout=0.2):
            try:
                message = pipe.recv()
                if isinstance(message, ItemWanted):
                    pipe.send(next(items, None))
                    continue
            except (EOFError, OSError):
                raise _ended_by_itself(running[pipe]) from None
            match message:
                case WorkerEnded(error=None):
                    del running[pipe]
                case WorkerEnded():
                    log.debug("Device %s broke off:\n%s", running[pipe].name, message.traceback)
                    raise message.error
                case _:
                    emit(message)


def _ended_by_itself(process: BaseProcess) -> VidfeatError:
    process.join(timeout=2)  # the pipe ends a moment before the process does
    return VidfeatError(f"The process of device {process.name} ended by itself (exit code {process.exitcode}). {_KEPT}")


def _device_main(device: str, plan: DevicePlan, pipe: Connection) -> None:
    for signum in _STOPPING:
        signal.signal(signum, signal.SIG_IGN)  # the parent decides when to stop
    _exit_with_parent()
    name = multiprocessing.current_process().name
    sending, asking = threading.Lock(), threading.Lock()

    def send(message: Event | ItemWanted | WorkerEnded) -> None:
        with sending:
            pipe.send(message)

    def next_item() -> Item | None:
        with asking:
            send(ItemWanted())
            return pipe.recv()

    try:
        with device_failures(name):
            _run(Computers(plan.recipe, device, plan.threads), plan, next_item, send)
        ending = WorkerEnded()
    except VidfeatError as error:
        ending = WorkerEnded(error, traceback.format_exc())
    except Exception as error:
        words = f"Device {name} stopped: {type(error).__name__}: {error}. {_KEPT}"
        ending = WorkerEnded(VidfeatError(words), traceback.format_exc())
    with suppress(OSError):  # the parent has gone
        send(ending)


def _exit_with_parent() -> None:
    """A device process must not outlive its parent, whatever killed that."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
