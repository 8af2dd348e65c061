"""An HDF5 file that is being written: under a temporary name, and safe against a disk that fails.

A failed write leaves the HDF5 library with a file that it can neither finish nor forget: closing reports errors, and
the library tries once more when the process exits. So HDF5 writes here through a Python file object (h5py fileobj)
that keeps the first error to itself, drops every later write, and lets HDF5 finish in peace; the error is raised to
the caller by :meth:`OutputFile.check`, and the poisoned file is never renamed.
"""

import contextlib
import os
import weakref
from pathlib import Path

import h5py

from vidfeat.errors import StorageError, UsageError
from vidfeat.store import fs

# The format of HDF5 1.8 (2008): old enough for MATLAB and every other reader, and the oldest one that puts checksums on
# its metadata and keeps groups of many thousand links fast.
LIBVER = ("v108", "v108")


class Sink:
    """The file object given to HDF5. After the first error it is a hole: writes vanish, reads give what is there."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.error: BaseException | None = None
        self.abandoned = False
        self.size = 0
        self._position = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + (self.size if whence == os.SEEK_END else 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def write(self, data: memoryview) -> int:
        length = len(data)
        # BaseException: a signal handler may raise while Python runs inside HDF5, which must not see it.
        try:
            if self.error is None and not self.abandoned:
                fs.pwrite(self.fd, data, self._position)
        except BaseException as error:
            self.error = error
        self._position += length
        self.size = max(self.size, self._position)
        return length

    def readinto(self, buffer: memoryview) -> int:
        view, filled = memoryview(buffer).cast("B"), 0
        try:
            while filled < len(view):
                got = os.preadv(self.fd, [view[filled:]], self._position + filled)
                if got == 0:
                    break
                filled += got
        except BaseException as error:
            self.error = self.error or error
        view[filled:] = bytes(len(view) - filled)
        self._position += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self.size = self._position if size is None else size
        try:
            if self.error is None and not self.abandoned:
                fs.truncate(self.fd, self.size)
        except BaseException as error:
            self.error = error
        return self.size

    def flush(self) -> None:
        """Nothing is buffered here; :meth:`OutputFile.publish` syncs."""


class OutputFile:
    """A new HDF5 file at ``path`` (a temporary name). ``h5`` is the open h5py file.

    Call :meth:`check` after writing, then :meth:`publish` or :meth:`abandon`. Not thread-safe.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with fs.writing(path):
            self._sink = Sink(fs.open_new(path))
        self.h5 = h5py.File(path, "w", libver=LIBVER, driver="fileobj", fileobj=self._sink)
        # HDF5 must not call into Python when the interpreter is gone, so a file left open is given up at exit.
        self._abandon = weakref.finalize(self, _give_up, self.h5, self._sink)

    @property
    def size(self) -> int:
        """Bytes handed to the file so far; metadata may still wait in HDF5's cache."""
        return self._sink.size

    def check(self) -> None:
        """Raise what has gone wrong so far: StorageError, or what a signal handler raised."""
        error = self._sink.error
        if isinstance(error, OSError):
            raise fs.storage_error(self.path, error) from error
        if error is not None:
            raise error

    def publish(self, target: Path) -> None:
        """Close, sync, and rename to ``target``; on any error the file is abandoned and the error raised."""
        try:
            self._finish_h5()
            with fs.writing(self.path):
                fs.fsync(self._sink.fd)
                self._abandon.detach()
                fs.close(self._sink.fd)
                fs.rename(self.path, target)
                fs.fsync_dir(target.parent)
        except BaseException:
            self.abandon()
            raise

    def _finish_h5(self) -> None:
        try:
            self.h5.close()
        except (OSError, RuntimeError) as error:
            self.check()
            raise StorageError(f"HDF5 cannot finish {self.path}: {error}. Run the same command again.") from error
        self.check()

    def abandon(self) -> None:
        """Close without finishing and remove the file. Never raises for a file system that fails."""
        self._abandon()
        with contextlib.suppress(OSError):
            fs.unlink(self.path)


def _give_up(h5: h5py.File, sink: Sink) -> None:
    sink.abandoned = True
    # HDF5 may find its own view of a poisoned file broken; nothing of that file will be used.
    with contextlib.suppress(OSError, RuntimeError, ValueError, KeyError):
        h5.close()
    with contextlib.suppress(OSError):
        fs.close(sink.fd)


def open_readonly(path: Path) -> h5py.File:
    """Open a finished file for reading. OSError if it cannot be.

    Without HDF5's file locks: files under a final name never change, and locks fail on many network file systems.
    """
    return h5py.File(path, "r", locking=False)


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does. OSError if it cannot be read."""
    with path.open("rb") as stream:
        return stream.read(8) == b"\x89HDF\r\n\x1a\n"


def open_hdf5(path: Path, advice: str) -> h5py.File:
    """Open an HDF5 file that a user named.

    UsageError, with ``advice`` at its end: missing, or not HDF5. StorageError: damaged.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder, but a file is expected. {advice}")
    try:
        if not is_hdf5(path):
            raise UsageError(f"{path} is not an HDF5 file. {advice}")
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist. {advice}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        return open_readonly(path)
    except (OSError, RuntimeError, ValueError) as error:
        raise unreadable(path, "the structure", error) from error


def unreadable(path: Path | str, what: str, error: BaseException) -> StorageError:
    """The StorageError for stored data that cannot be read back."""
    return StorageError(
        f"Cannot read {what} of {path}: {error}. The file is damaged, incomplete, or its file system failed: "
        f"make it again, or run 'vidfeat verify' on a feature file to see what is left."
    )
