"""Runs an extraction on one device in this process, or on several in one spawned process each.

There is one writer, the calling process: the others only send events. No process is ever forked.
"""

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vidfeat.datasets.items import Item
from vidfeat.errors import UsageError, VidfeatError
from vidfeat.features import Extractor
from vidfeat.stages.events import Event, WorkerEnded
from vidfeat.stages.pipeline import DecodeOptions, item_source, run_device

_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class DevicePlan:
    """What one device process needs to know; everything in it can be pickled."""

    extractor: dict[str, Any]
    options: DecodeOptions
    batch_size: int | None
    workers: int
    threads: int | None


def resolve_devices(spec: str) -> list[str]:
    """``auto`` -> all visible GPUs, else the CPU; ``a,b`` -> [a, b]. UsageError for a device that is not there."""
    import torch

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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = max(1, cores // len(devices))
    return max(1, share // 2) if devices[0].startswith("cpu") else min(share, 16)


def run_one(
    extractor: Extractor,
    plan: DevicePlan,
    items: Sequence[Item],
    emit: Callable[[Event], None],
    idle: Callable[[], None],
) -> None:
    """Extract ``items`` in this process."""
    batch_size = plan.batch_size or extractor.suggested_batch
    run_device(
        extractor, item_source(items), plan.options, emit, batch_size=batch_size, workers=plan.workers, idle=idle
    )


def run_many(
    devices: Sequence[str],
    plan: DevicePlan,
    items: Sequence[Item],
    emit: Callable[[Event], None],
    idle: Callable[[], None],
) -> None:
    """Extract ``items`` with one spawned process per device; all take from one list of work."""
    work = _SPAWN.Queue()
    events = _SPAWN.Queue(maxsize=64)
    for item in items:
        work.put(item)
    for _ in range(len(devices) * plan.workers):
        work.put(None)
    processes = {
        key: _SPAWN.Process(target=_device_main, args=(key, device, plan, work, events), daemon=True)
        for key, device in zip(_keys(devices), devices, strict=True)
    }
    try:
        for process in processes.values():
            process.start()
        _relay(processes, events, emit, idle)
    finally:
        work.cancel_join_thread()
        for process in processes.values():
            if process.is_alive():
                process.terminate()
            process.join(timeout=10)


def _relay(processes: dict[str, Any], events: Any, emit: Callable[[Event], None], idle: Callable[[], None]) -> None:
    running = dict(processes)
    while running:
        idle()
        try:
            event = events.get(timeout=0.2)
        except queue.Empty:
            for key, process in running.items():
                if not process.is_alive():
                    raise VidfeatError(
                        f"The process of device {key} ended by itself (exit code {process.exitcode}). Everything "
                        "finished is kept; run the same command again, perhaps with a smaller --batch-size."
                    ) from None
            continue
        match event:
            case WorkerEnded(reason=""):
                del running[event.device]
            case WorkerEnded():
                raise VidfeatError(f"Device {event.device} stopped: {event.reason}")
            case _:
                emit(event)


def _keys(devices: Sequence[str]) -> list[str]:
    """Distinct names even when a device is listed twice (``cpu,cpu``)."""
    return [f"{name}#{i}" if devices.count(name) > 1 else name for i, name in enumerate(devices)]


def _device_main(key: str, device: str, plan: DevicePlan, work: Any, events: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    _exit_with_parent()
    try:
        import torch

        if plan.threads is not None:
            torch.set_num_threads(plan.threads)
        extractor = Extractor(**plan.extractor, device=device)
        batch_size = plan.batch_size or extractor.suggested_batch
        run_device(extractor, work.get, plan.options, events.put, batch_size=batch_size, workers=plan.workers)
        events.put(WorkerEnded(key, ""))
    except Exception as error:
        events.put(WorkerEnded(key, f"{type(error).__name__}: {error}"))


def _exit_with_parent() -> None:
    """A device process must not outlive its parent, whatever killed that."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
