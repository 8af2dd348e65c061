"""Disks that fail: the error is told, finished parts stay, and HDF5 neither crashes nor writes at the exit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run_child(what: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(HERE / "failing.py"), what, str(folder)],
        env={**os.environ, "PYTHONPATH": f"{HERE.parent.parent}{os.pathsep}{HERE}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # The store's own warnings reach standard error through logging's last resort.
    noise = [line for line in done.stderr.splitlines() if "is a file of links" not in line and "merging" not in line]
    assert not noise
    return done.stdout.splitlines()


def test_a_failure_of_any_file_operation_is_told_and_a_rerun_completes(tmp_path):
    (cases,) = run_child("every", tmp_path)
    assert int(cases) > 40


def test_a_file_size_limit_stops_the_run_and_keeps_finished_parts(tmp_path):
    part, later, names, codes, left = run_child("limit", tmp_path)
    assert "part-0003.h5.tmp: File too large. What was finished before is kept." in part
    assert "Free some space" in part
    assert later.startswith("Cannot write") or "run the same command again" in later.lower()
    assert names == "['part-0001.h5', 'part-0002.h5']"
    assert "codes.h5.tmp: File too large" in codes
    assert left == "['feats.h5.parts']"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk_stops_the_run_and_the_next_one_makes_links(tmp_path):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("root, but tmpfs cannot be mounted here")
    try:
        error, lost = run_child("full", tmp_path)
        assert "No space left on device" in error
        assert str(tmp_path) in error
        assert int(lost) <= 3  # the items of one open part
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_process_that_just_ends_leaves_no_noise(tmp_path):
    assert run_child("leave", tmp_path) == []
