"""Several devices, and devices that fail: what is kept, what is said, and that no process stays behind."""

import itertools
import logging
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small import SMALL_FLAGS, run_small
from videos import flat_picture, write_video

from vidfeat.datasets.items import Item
from vidfeat.errors import StorageError, UsageError, VidfeatError
from vidfeat.features import Extractor
from vidfeat.media.sampling import Sampling
from vidfeat.media.transforms import Geometry
from vidfeat.stages import extract, job
from vidfeat.stages.computers import Computers, describe_device
from vidfeat.stages.devices import _serve, device_failures, run_many, run_one
from vidfeat.stages.events import Finished, Rows
from vidfeat.stages.recipe import DevicePlan, Recipe
from vidfeat.store import diff, open_features, verify

CLIPS = 16
NETWORK = {"backbone": "squeezenet1_1", "layers": ["avgpool"], "weights": "none", "size": 32}
PART_BYTES = 200_000  # two of the clips, so that a run of a second has several parts
COMMAND = (
    "from vidfeat.cli.main import main; from vidfeat.store import FeatureWriter; "
    f"FeatureWriter.__init__.__kwdefaults__.update(part_bytes={PART_BYTES}); main()"
)


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for number in range(CLIPS):
        write_video(folder / f"v{number:02d}.mp4", 20 + number, width=80, height=64)
    return folder


@pytest.fixture(scope="module")
def reference(many, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("reference") / "f.h5"
    run_small([many], output)
    return output


def plan(batch_size=8) -> DevicePlan:
    geometry = Geometry("crop", 32, 32, False, "bilinear", True)
    return DevicePlan(Recipe(NETWORK), geometry, Sampling(), batch_size=batch_size, workers=1, threads=1)


def items(folder: Path) -> list[Item]:
    return [Item(path.name, path) for path in sorted(folder.iterdir())]


def nothing() -> None:
    """An ``idle`` that lets the run go on."""


def stat(pid: int) -> list[str]:
    """State, parent, … of a process; nothing if it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def alive(pid: int) -> bool:
    return stat(pid)[:1] not in ([], ["Z"])


def descendants(pid: int) -> dict[int, str]:
    """Process id -> command line."""
    found = {}
    for child in [int(path.name) for path in Path("/proc").glob("[0-9]*")]:
        if stat(child)[1:2] == [str(pid)]:
            with suppress(OSError):
                found[child] = Path(f"/proc/{child}/cmdline").read_text()
            found.update(descendants(child))
    return found


def soon(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(condition())


def test_every_item_comes_once_in_order_and_names_its_device(many):
    events, calls = [], []
    run_many(["cpu", "cpu"], plan(), items(many), events.append, lambda: calls.append(time.monotonic()))
    endings = [event for event in events if isinstance(event, Finished)]
    assert sorted(event.item_id for event in endings) == [item.id for item in items(many)]
    assert {event.attrs["device"] for event in endings} == {"cpu"}
    for ending in endings:
        rows = [event.frames for event in events if isinstance(event, Rows) and event.item_id == ending.item_id]
        assert np.concatenate(rows).tolist() == list(range(20 + int(ending.item_id[1:3])))
    # The start of two processes takes seconds, in which nothing is sent.
    assert max(b - a for a, b in itertools.pairwise(calls)) < 0.35
    assert multiprocessing.active_children() == []


def test_one_device_names_itself(many):
    events = []
    run_one(Computers(Recipe(NETWORK), "cpu", 1), plan(), items(many)[:1], events.append, nothing)
    assert events[-1].attrs["device"] == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_each_gpu_by_its_own_name(many):
    last = torch.cuda.device_count() - 1
    events = []
    run_many([f"cuda:{last}"], plan(), items(many)[:1], events.append, nothing)
    assert events[-1].attrs["device"] == f"cuda:{last} ({torch.cuda.get_device_name(last)})"
    assert describe_device(f"cuda:{last}") == events[-1].attrs["device"]


def test_a_killed_device_process_stops_the_run_and_keeps_what_is_finished(many, reference, tmp_path, monkeypatch):
    family = {}

    def run_and_kill(devices, plan, items, emit, idle):
        def kill_at_the_first_ending(event):
            emit(event)
            if isinstance(event, Finished) and not family:
                # One that has its decoder: the other may still be importing.
                victim = next(child.pid for child in multiprocessing.active_children() if descendants(child.pid))
                family.update({victim: "", **descendants(victim)})
                os.kill(victim, signal.SIGKILL)

        run_many(devices, plan, items, kill_at_the_first_ending, idle)

    output = tmp_path / "f.h5"
    with monkeypatch.context() as patch:
        patch.setattr(job, "run_many", run_and_kill)
        with pytest.raises(
            VidfeatError, match=r"device cpu#[01] ended by itself \(exit code -9\)\. Everything"
        ) as stop:
            run_small([many], output, device="cpu,cpu", batch_size=8, workers=1, timeout=60.0)
    assert (type(stop.value), stop.value.exit_code) == (VidfeatError, 3)
    assert len(family) == 2  # itself and its decoder
    assert soon(lambda: not any(map(alive, family)), 5)
    assert multiprocessing.active_children() == []
    assert verify(output) == []
    assert 1 <= len(open_features(output)) < CLIPS
    run_small([many], output)
    assert diff(reference, output).equal()


def test_a_message_broken_off_ends_the_run_and_hangs_nothing():
    pipe, theirs = multiprocessing.Pipe()
    os.write(theirs.fileno(), struct.pack("!i", 1000) + b"half of it")
    theirs.close()
    process = SimpleNamespace(name="cuda:1", exitcode=-9, join=lambda timeout: None)
    with pytest.raises(VidfeatError, match=r"process of device cuda:1 ended .*-9.*same command again.*--batch-size"):
        _serve({pipe: process}, iter([]), None, nothing)


class Raises:
    """A batch size that raises when it is looked at: in the device process, after the network was built."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __bool__(self) -> bool:
        raise self.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            MemoryError("no room"),
            r"^Device cpu failed: MemoryError: no room\. Everything .* kept; .*batch-size",
        ),
        (ZeroDivisionError("by 0"), r"^Device cpu stopped: ZeroDivisionError: by 0\. Everything finished is kept"),
    ],
)
def test_an_error_in_a_device_process_travels_with_its_traceback(many, caplog, error, words):
    caplog.set_level(logging.DEBUG, "vidfeat")
    with pytest.raises(VidfeatError, match=words) as stop:
        run_many(["cpu"], plan(Raises(error)), items(many), None, nothing)
    assert type(stop.value) is VidfeatError
    assert "in __bool__" in caplog.text
    assert multiprocessing.active_children() == []


def out_of_memory() -> UsageError:
    error = UsageError("cuda:0 has not enough memory for 9 images; choose a smaller --batch-size.")
    error.__cause__ = torch.OutOfMemoryError("CUDA out of memory.")
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (out_of_memory(), "failed: cuda:0 has not enough memory for 9 images; choose a smaller --batch-size. Every"),
        (torch.OutOfMemoryError("CUDA out of memory."), "failed: OutOfMemoryError: CUDA out of memory. Every"),
        (torch.AcceleratorError("CUDA error: lost\nSet X for more"), "AcceleratorError: CUDA error: lost. Every"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC"),
        (RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory"), "can't allocate memory. Every"),
        (MemoryError(), "failed: MemoryError. Every"),
    ],
)
def test_failures_of_the_device_stop_the_run_of_one_device(many, tmp_path, monkeypatch, error, words):
    def submit(self, pixels):
        raise error

    monkeypatch.setattr(Extractor, "submit", submit)
    with pytest.raises(VidfeatError) as stop:
        run_small([many], tmp_path / "f.h5")
    assert (type(stop.value), stop.value.exit_code) == (VidfeatError, 3)
    assert str(stop.value).startswith("Device cpu failed: ")
    assert words in str(stop.value)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), UsageError("bad input"), StorageError("disk full")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as stop, device_failures("cpu"):
        raise error
    assert stop.value is error


def start(many: Path, output: Path, *options: str) -> subprocess.Popen:
    """The real command on two devices, in a process group of its own."""
    flags = ["--device", "cpu,cpu", "--batch-size", "8", "--workers", "1", *options]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "extract", str(many), "-o", str(output), *SMALL_FLAGS, *flags],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(extract.__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def device_processes(pid: int) -> list[int]:
    return [child for child, command in descendants(pid).items() if "spawn_main" in command]


@pytest.mark.parametrize(("signum", "status", "early"), [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, False)])
def test_a_signal_to_every_process_is_the_parents_to_decide(many, reference, tmp_path, signum, status, early):
    """As a terminal's Ctrl-C or a scheduler sends it: early, while the device processes still import."""
    output = tmp_path / "f.h5"
    run = start(many, output)
    try:
        parts = tmp_path / "f.h5.parts"
        begun = (lambda: len(device_processes(run.pid)) == 2) if early else (lambda: any(parts.glob("part-*.h5")))
        assert soon(begun, 60)
        devices = device_processes(run.pid)
        os.killpg(run.pid, signum)
        _, words = run.communicate(timeout=30)
    finally:
        run.kill()
    assert run.returncode == status, words
    assert "Everything finished is kept" in words
    assert "Traceback" not in words
    assert not any(map(alive, devices))
    run_small([many], output)
    assert diff(reference, output).equal()


def test_device_processes_and_their_decoders_end_with_a_killed_parent(tmp_path):
    folder = tmp_path / "long"
    folder.mkdir()
    for number in range(4):  # seconds of work each, so that one device cannot finish all before the other has started
        write_video(folder / f"v{number}.mp4", 4000, width=80, height=64, picture=flat_picture)
    run = start(folder, tmp_path / "f.h5", "--timeout", "60")
    try:
        # The tracker of the standard library, two device processes, and a decoder of either.
        assert soon(lambda: len(descendants(run.pid)) == 5, 60)
        family = descendants(run.pid)
    finally:
        run.kill()
    _, words = run.communicate(timeout=30)
    assert soon(lambda: not any(map(alive, family)), 5)
    assert "Traceback" not in words
