import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from storing import IDS, SETTINGS, contents, extract, store_item

from vidfeat.errors import UsageError
from vidfeat.store import FeatureWriter
from vidfeat.store import lock as lock_module
from vidfeat.store.lock import OutputLock, Owner, read_owner

HERE = Path(__file__).parent


def holder(out: Path) -> subprocess.Popen:
    """A process that has stored one item of ``out`` and keeps the lock."""
    code = (
        "import sys, time; from pathlib import Path; from storing import *\n"
        "w = FeatureWriter(Path(sys.argv[1]), SETTINGS, {}, part_bytes=1); store_item(w, IDS[0])\n"
        "print('ready', flush=True); time.sleep(100)"
    )
    env = {**os.environ, "PYTHONPATH": f"{HERE.parent.parent}{os.pathsep}{HERE}"}
    process = subprocess.Popen([sys.executable, "-c", code, str(out)], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def no_flock(fd, operation):
    raise OSError(errno.ENOLCK, "No locks available")


def write_lock(folder: Path, **changes) -> Path:
    folder.mkdir(exist_ok=True)
    owner = {**vars(Owner.this_process()), **changes}
    path = folder / "lock"
    path.write_text(json.dumps(owner))
    return path


def test_a_second_process_is_refused_and_a_killed_one_is_succeeded(tmp_path, caplog):
    out = tmp_path / "feats.h5"
    first = holder(out)
    try:
        with pytest.raises(
            UsageError, match=rf"being written by process {first.pid} on host {socket.gethostname()} since 20.*remove"
        ):
            extract(out)
        assert read_owner(tmp_path / "feats.h5.parts").pid == first.pid
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert extract(out, IDS[:3]) == IDS[1:3]
        assert f"taking over the lock of a run that is gone (process {first.pid}," in caplog.text
    finally:
        first.kill()
        first.wait()
    assert len(contents(out)["items"]) == 3


def test_a_second_writer_in_the_same_process_is_refused(tmp_path):
    with FeatureWriter(tmp_path / "feats.h5", SETTINGS, {}) as writer:
        store_item(writer, "a")
        with pytest.raises(UsageError, match=f"being written by process {os.getpid()}"):
            extract(tmp_path / "feats.h5")


def test_a_zombie_does_not_hold_a_lock_without_flock(tmp_path, monkeypatch):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    started = lock_module._started(child.pid)
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    write_lock(tmp_path / "x.parts", pid=child.pid, started=started)
    monkeypatch.setattr(lock_module.fcntl, "flock", no_flock)
    OutputLock(tmp_path / "x.parts").release()
    child.wait()
    assert not (tmp_path / "x.parts").exists()


@pytest.mark.parametrize("flock", [True, False])
def test_a_lock_of_another_host_is_refused(tmp_path, monkeypatch, flock):
    if not flock:
        monkeypatch.setattr(lock_module.fcntl, "flock", no_flock)
    path = write_lock(tmp_path / "x.h5.parts", host="node17", pid=4, since="2030-01-01T10:00:00+00:00")
    with pytest.raises(UsageError) as caught:
        OutputLock(tmp_path / "x.h5.parts")
    words = str(caught.value)
    assert "x.h5 is being written by process 4 on host node17 since 2030-01-01T10:00:00+00:00" in words
    assert words.endswith(f"remove {path}.")
    assert path.exists()


@pytest.mark.parametrize("flock", [True, False])
@pytest.mark.parametrize("change", [{"started": "1"}, {"boot": "another boot"}, {"pid": 2**22 + 1}])
def test_a_stale_lock_of_this_host_is_taken_over(tmp_path, monkeypatch, caplog, flock, change):
    if not flock:
        monkeypatch.setattr(lock_module.fcntl, "flock", no_flock)
    write_lock(tmp_path / "x.h5.parts", **change)
    lock = OutputLock(tmp_path / "x.h5.parts")
    assert "taking over the lock" in caplog.text
    assert read_owner(tmp_path / "x.h5.parts").lives()
    assert [p.name for p in (tmp_path / "x.h5.parts").iterdir()] == ["lock"]
    lock.release()
    assert not (tmp_path / "x.h5.parts").exists()


def test_a_live_process_holds_a_lock_without_flock(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module.fcntl, "flock", no_flock)
    lock = OutputLock(tmp_path / "x.h5.parts")
    with pytest.raises(UsageError, match=f"process {os.getpid()}"):
        OutputLock(tmp_path / "x.h5.parts")
    lock.release()


@pytest.mark.parametrize("text", ["", "{", '{"host": 1}'])
def test_a_lock_whose_maker_died_at_once_is_stale_only_if_flock_says_so(tmp_path, monkeypatch, text):
    folder = tmp_path / "x.h5.parts"
    folder.mkdir()
    (folder / "lock").write_text(text)
    with monkeypatch.context() as patch:
        patch.setattr(lock_module.fcntl, "flock", no_flock)
        with pytest.raises(UsageError, match=r"just starting to write .*x\.h5\. .*remove"):
            OutputLock(folder)
    OutputLock(folder).release()


def test_without_flock_only_one_process_takes_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module.fcntl, "flock", no_flock)
    folder = tmp_path / "x.h5.parts"
    write_lock(folder, started="1")
    (folder / "lock.takeover").touch()
    with pytest.raises(UsageError, match=r"taking over the stale lock.*remove .*lock\.takeover"):
        OutputLock(folder)
    (folder / "lock.takeover").unlink()

    # Another process is faster between the look at the lock and the guard.
    real = lock_module.fs.open_new

    def overtaken(path):
        if path.name == "lock.takeover":
            write_lock(folder, pid=os.getppid(), started=lock_module._started(os.getppid()))
        return real(path)

    monkeypatch.setattr(lock_module.fs, "open_new", overtaken)
    with pytest.raises(UsageError, match=f"process {os.getppid()}"):
        OutputLock(folder)
    assert not (folder / "lock.takeover").exists()


def test_of_many_processes_at_a_stale_lock_one_wins(tmp_path):
    folder = tmp_path / "x.h5.parts"
    write_lock(folder, started="1")
    code = (
        "import sys, time; from pathlib import Path; from vidfeat.errors import UsageError\n"
        "from vidfeat.store.lock import OutputLock\n"
        "sys.stdin.readline()\n"
        "try: lock = OutputLock(Path(sys.argv[1])); print('won', flush=True)\n"
        "except UsageError: print('refused', flush=True)\n"
        "sys.stdin.readline()"
    )
    env = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(6)
    ]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    results = [racer.stdout.readline().strip() for racer in racers]
    for racer in racers:
        racer.communicate("end\n")
    assert sorted(results) == ["refused"] * 5 + ["won"]


def test_a_lock_released_while_another_waits_to_look_is_not_held_by_a_dead_file(tmp_path, monkeypatch):
    """The second process opens the lock file, the first removes it, and only then comes the second one's flock."""
    folder = tmp_path / "x.h5.parts"
    first = OutputLock(folder)
    real = lock_module.fs.open_existing

    def slow(path):
        fd = real(path)
        if path.exists() and not released:
            released.append(True)
            first.release()
        return fd

    released: list[bool] = []
    monkeypatch.setattr(lock_module.fs, "open_existing", slow)
    second = OutputLock(folder)
    assert os.path.samestat(os.fstat(second._fd), os.stat(folder / "lock"))
    second.release()
