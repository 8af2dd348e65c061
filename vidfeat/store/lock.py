"""One run per output file: OUT.parts/lock.

The file is created with O_EXCL and says who holds it (host, pid, start of the process). While the run lives it
also holds a flock on the file, which the kernel drops whenever the process dies; so a stale lock is taken over by
whoever gets the flock, and two cannot get it. Where flock does not work (some NFS mounts), host + pid + start time
decide, and a second O_EXCL file keeps two processes from taking over the same stale lock.
"""

import contextlib
import dataclasses
import datetime
import errno
import fcntl
import json
import logging
import os
import socket
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.store import fs

log = logging.getLogger("vidfeat")

_NO_FLOCK = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


@dataclasses.dataclass(frozen=True)
class Owner:
    """Who holds a lock. ``started`` is the kernel's start time of the process, ``boot`` the id of the host's boot."""

    host: str
    pid: int
    started: str
    boot: str
    since: str

    @classmethod
    def this_process(cls) -> "Owner":
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(socket.gethostname(), os.getpid(), _started(os.getpid()) or "", _boot(), now)

    def lives(self) -> bool:
        """Whether this process still runs on this host; a reused pid or a boot in between means no."""
        if self.boot != _boot():
            return False
        if Path("/proc/self/stat").exists():
            return _started(self.pid) == self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


class OutputLock:
    """Hold ``folder``/lock from construction to :meth:`release`. UsageError if somebody else holds it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "lock"
        with fs.writing(self.path):
            self._fd = self._acquire()

    def release(self) -> None:
        """Remove the lock, and its folder if nothing else is left in it. Errors of the file system are left alone:
        what remains is a stale lock, which the next run takes over."""
        with contextlib.suppress(OSError):
            fs.unlink(self.path)
        with contextlib.suppress(OSError):
            fs.close(self._fd)
        with contextlib.suppress(OSError):
            fs.remove_dir(self.folder)

    def _acquire(self) -> int:
        while True:
            fs.make_dir(self.folder)
            try:
                fd, created = fs.open_new(self.path), True
            except FileExistsError:
                try:
                    fd, created = fs.open_existing(self.path), False
                except FileNotFoundError:
                    continue  # released in between
            except FileNotFoundError:
                continue  # a run that ends removed the folder in between
            try:
                if self._take(fd, created):
                    return fd
            except BaseException:
                fs.close(fd)
                raise
            fs.close(fd)

    def _take(self, fd: int, created: bool) -> bool:
        """Make the open file ours. False: it is not the lock any more, start over."""
        flocked = _flock(fd)
        if flocked is False:
            self._refuse(_read(fd))
        if not _same_file(fd, self.path):
            return False
        if not created:
            owner = _read(fd)
            here = owner is not None and owner.host == socket.gethostname()
            # An empty lock is one whose maker died before it could write, which only flock can tell for sure.
            if (owner is None and not flocked) or (owner is not None and (not here or owner.lives())):
                self._refuse(owner)
            who = f"process {owner.pid}, since {owner.since}" if owner else "a process that died at its start"
            log.warning("%s: taking over the lock of a run that is gone (%s)", self.path, who)
            if flocked is None:
                self._take_over_without_flock(fd, owner)
                return True
        self._sign(fd)
        return True

    def _sign(self, fd: int) -> None:
        try:
            fs.truncate(fd, 0)
            fs.pwrite(fd, json.dumps(dataclasses.asdict(Owner.this_process())).encode(), 0)
            fs.fsync(fd)
        except BaseException:
            with contextlib.suppress(OSError):
                fs.unlink(self.path)
            raise

    def _take_over_without_flock(self, fd: int, stale: Owner | None) -> None:
        guard = self.path.with_name("lock.takeover")
        try:
            guard_fd = fs.open_new(guard)
        except FileExistsError:
            raise UsageError(
                f"Another process is taking over the stale lock {self.path}. Wait for it; if none is running, remove "
                f"{guard} and try again."
            ) from None
        try:
            # Somebody may have been faster, between our look at the lock and the guard.
            if (current := _read(fd)) != stale or not _same_file(fd, self.path):
                self._refuse(current)
            self._sign(fd)
        finally:
            fs.close(guard_fd)
            fs.unlink(guard)

    def _refuse(self, owner: Owner | None) -> None:
        out = self.folder.with_suffix("")
        if owner is None:
            raise UsageError(
                f"Another run is just starting to write {out}. Wait for it; if there is none, remove {self.path}."
            )
        raise UsageError(
            f"{out} is being written by process {owner.pid} on host {owner.host} since {owner.since}. "
            f"Wait for it or stop it, or choose another output. If that process is surely gone, remove {self.path}."
        )


def read_owner(folder: Path) -> Owner | None:
    """Who is said to hold ``folder``/lock, if there is a readable one; nothing is taken."""
    try:
        fd = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _read(fd)
    finally:
        os.close(fd)


def _read(fd: int) -> Owner | None:
    try:
        return Owner(**json.loads(os.pread(fd, 4096, 0)))
    except (ValueError, TypeError):
        return None


def _flock(fd: int) -> bool | None:
    """True: got it; False: somebody else has it; None: this file system has no flock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_FLOCK:
            return None
        raise
    return True


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _started(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot; None if there is none, or only a zombie."""
    try:
        # The command name, in parentheses, may hold spaces and parentheses itself.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
