"""kill -9 at every open, sync, rename and removal of the store, and at a sample of the writes, whole and torn."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Writes between two of the other operations differ little; set to 1 to kill at every one (minutes).
WRITE_STRIDE = os.environ.get("VIDFEAT_KILL_STRIDE", "40")


@pytest.mark.parametrize("scenario", ["fresh", "again", "links", "merge-links", "overwrite", "other-settings"])
def test_a_killed_run_resumes_to_the_same_file_and_keeps_finished_parts(tmp_path, scenario):
    done = subprocess.run(
        [sys.executable, str(HERE / "killing.py"), str(tmp_path / "cases"), scenario, WRITE_STRIDE],
        env={**os.environ, "PYTHONPATH": f"{HERE.parent.parent}{os.pathsep}{HERE}"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert not result["failures"], (result["failures"], done.stderr[-3000:])
    assert {"open_new", "pwrite", "fsync", "rename", "fsync_dir", "unlink", "h5.close"} <= set(result["operations"])
    if scenario != "merge-links":
        assert result["operations"].count("rename") >= 3


def test_every_rename_is_between_the_sync_of_the_file_and_that_of_its_folder(tmp_path, monkeypatch):
    """Killing a process loses no written page, a power cut does: so the order of the syncs is looked at."""
    from storing import IDS, extract

    from vidfeat.store import fs

    calls: list[tuple] = []
    for name in ("open_new", "pwrite", "truncate", "fsync", "rename", "fsync_dir", "unlink"):
        original = getattr(fs, name)

        def wrapped(*args, name=name, original=original):
            result = original(*args)
            calls.append((name, args, result))
            return result

        monkeypatch.setattr(fs, name, wrapped)
    extract(tmp_path / "feats.h5", IDS[:4], part_bytes=1)
    renames = [i for i, call in enumerate(calls) if call[0] == "rename"]
    assert len(renames) == 5  # four parts and the merged file
    for at in renames:
        source, target = calls[at][1]
        fd = next(call[2] for call in calls[:at] if call[0] == "open_new" and call[1] == (source,))
        on_file = [call[0] for call in calls[:at] if call[1][0] == fd and call[0] in ("pwrite", "truncate", "fsync")]
        assert on_file[-1] == "fsync"
        assert calls[at + 1][:2] == ("fsync_dir", (target.parent,))
    # Parts go only after the folder knows the file that replaces them.
    first_gone = next(i for i, call in enumerate(calls) if call[0] == "unlink" and "part-" in str(call[1][0]))
    assert first_gone > renames[-1] + 1
