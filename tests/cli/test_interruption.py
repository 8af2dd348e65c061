"""The real command, killed and stopped during a run: nothing finished is lost, nothing half-written stays."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from small import SMALL_FLAGS
from videos import write_video

from vidfeat.store import diff, open_features, verify

KILLS = 30
PART_BYTES = 60_000  # two or three of the clips below, so that a run of a second has several parts


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(16):
        write_video(folder / f"v{number:02d}.mp4", 6 + number, width=80, height=64)
    return folder


@pytest.fixture(scope="module")
def reference(clips, zygote, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("reference") / "f.h5"
    assert zygote.run(command(clips, output)) == 0
    return output


def command(clips: Path, output: Path) -> list[str]:
    return ["extract", str(clips), "-o", str(output), *SMALL_FLAGS, "--batch-size", "8", "--workers", "1"]


def wait_for_part(output: Path, pid: int) -> float:
    """When the first finished part (or the output) is there, or the run is over."""
    folder = output.with_name(output.name + ".parts")
    while not any(folder.glob("part-*.h5")) and not output.exists() and Path(f"/proc/{pid}").exists():
        time.sleep(0.001)
    return time.monotonic()


def remains_sound(output: Path) -> None:
    """What a reader finds after the interruption is whole."""
    parts = list(output.with_name(output.name + ".parts").glob("part-*.h5"))
    if output.exists() or parts:
        assert verify(output) == []


def test_kill_9_at_thirty_moments_between_the_first_part_and_the_end(clips, zygote, reference, tmp_path):
    output = tmp_path / "whole.h5"
    pid = zygote.start(command(clips, output), part_bytes=PART_BYTES)
    first = wait_for_part(output, pid)
    assert zygote.wait() == 0
    duration = time.monotonic() - first
    killed = kept = 0
    for number in range(KILLS):
        output = tmp_path / f"killed{number}.h5"
        pid = zygote.start(command(clips, output), part_bytes=PART_BYTES)
        wait_for_part(output, pid)
        time.sleep(duration * number / KILLS)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        killed += zygote.wait() == -signal.SIGKILL
        remains_sound(output)
        before = len(open_features(output)) if not output.exists() else 0
        kept += before > 0
        assert zygote.run([*command(clips, output), "--json"], part_bytes=PART_BYTES) == 0, zygote.stderr.read_text()
        assert diff(reference, output).equal(), number
        assert not output.with_name(output.name + ".parts").exists()
        output.unlink()
    # The machine's speed drifts, so some late kills may miss; most must hit, and find finished work.
    assert killed >= KILLS * 2 // 3
    assert kept >= KILLS // 3


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_keep_what_is_finished(clips, zygote, reference, tmp_path, signum, status):
    output = tmp_path / "f.h5"
    pid = zygote.start(command(clips, output), part_bytes=PART_BYTES)
    wait_for_part(output, pid)
    os.kill(pid, signum)
    assert zygote.wait() == status
    words = zygote.stderr.read_text()
    assert "Everything finished is kept" in words
    assert "Traceback" not in words
    remains_sound(output)
    assert not (tmp_path / "f.h5.parts" / "lock").exists()
    assert not list((tmp_path / "f.h5.parts").glob("*.tmp"))
    assert zygote.run(command(clips, output)) == 0
    assert diff(reference, output).equal()


def test_a_file_size_limit_stops_the_run_and_keeps_parts(clips, zygote, reference, tmp_path):
    output = tmp_path / "f.h5"
    # The first two parts stay below the limit, the third does not.
    assert zygote.run(command(clips, output), part_bytes=PART_BYTES, fsize=100_000) == 3
    words = zygote.stderr.read_text()
    assert "part-0003.h5.tmp: File too large. What was finished before is kept." in words
    assert "Traceback" not in words
    remains_sound(output)
    assert len(open_features(output)) > 2
    assert zygote.run(command(clips, output)) == 0
    assert diff(reference, output).equal()


def test_no_room_to_merge_leaves_links_that_a_rerun_merges(clips, zygote, reference, tmp_path):
    output = tmp_path / "f.h5"
    assert zygote.run(command(clips, output), part_bytes=PART_BYTES, fsize=300_000) == 0
    assert "f.h5 is a file of links to the parts" in zygote.stderr.read_text()
    assert diff(reference, output).equal()
    assert zygote.run(command(clips, output)) == 0
    assert not (tmp_path / "f.h5.parts").exists()
    assert diff(reference, output).equal()


def test_a_full_disk_stops_the_run_and_keeps_parts(clips, zygote, reference, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(disk)]).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        assert zygote.run(command(clips, disk / "f.h5"), part_bytes=PART_BYTES) == 3
        assert "No space left" in zygote.stderr.read_text()
        remains_sound(disk / "f.h5")
        kept = len(open_features(disk / "f.h5"))
        assert kept > 2
        shutil.copytree(disk, tmp_path / "larger")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    output = tmp_path / "larger" / "f.h5"
    assert zygote.run([*command(clips, output)]) == 0
    assert diff(reference, output).equal()


def test_a_second_process_on_the_same_output_exits_2(clips, zygote, tmp_path):
    from vidfeat.store.lock import OutputLock

    lock = OutputLock(tmp_path / "f.h5.parts")
    try:
        assert zygote.run(command(clips, tmp_path / "f.h5")) == 2
        assert f"process {os.getpid()}" in zygote.stderr.read_text()
    finally:
        lock.release()
