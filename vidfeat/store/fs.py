"""The file operations on which crash safety rests, in one place.

Everything in the store that creates, writes, syncs, renames or removes a file calls these functions through the module
(``fs.rename(...)``), so a test in a child process can wrap them from outside and kill the process at any of them.
All of them raise OSError; ``writing`` turns that into the StorageError that a user reads.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from vidfeat.errors import StorageError

# Disk full, quota used up, file larger than the file system or RLIMIT_FSIZE allows.
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_NO_DIRECTORY_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF})


def open_new(path: Path) -> int:
    """Create ``path`` for reading and writing; FileExistsError if it is there already."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def open_existing(path: Path) -> int:
    """Open ``path`` for reading and writing without creating it."""
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def pwrite(fd: int, data: memoryview | bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``; a short write is continued, so that the reason of a full disk comes out."""
    view = memoryview(data).cast("B")
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def truncate(fd: int, size: int) -> None:
    os.ftruncate(fd, size)


def fsync(fd: int) -> None:
    os.fsync(fd)


def close(fd: int) -> None:
    os.close(fd)


def fsync_dir(path: Path) -> None:
    """Make renames and removals in the directory ``path`` durable, where the file system can."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network and FUSE file systems order renames themselves and refuse to sync a directory.
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(fd)


def rename(source: Path, target: Path) -> None:
    """Put ``source`` in the place of ``target`` in one step."""
    os.replace(source, target)


def unlink(path: Path) -> None:
    os.unlink(path)


def make_dir(path: Path) -> None:
    """Create one directory; it may exist."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)


def remove_dir(path: Path) -> None:
    os.rmdir(path)


def free_bytes(path: Path) -> int:
    """Bytes that this user may still write to the file system holding the directory ``path``."""
    return shutil.disk_usage(path).free


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError inside into a StorageError that names ``path`` and what to do."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: OSError) -> StorageError:
    """The StorageError for a failed write to ``path``."""
    reason = error.strerror or str(error)
    if error.errno in NO_SPACE:
        advice = "Free some space (or raise the quota or the file size limit)"
    else:
        advice = "Check that the place still exists and may be written to"
    return StorageError(
        f"Cannot write {path}: {reason}. What was finished before is kept. {advice}, then run the same command again."
    )
