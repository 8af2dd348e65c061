"""The errors that a user of vidfeat can meet.

Every message says what came, what is allowed, and what to do about it. The command line turns the class into an exit
code.
"""


class VidfeatError(Exception):
    """Base of all errors raised on purpose; a bare one means that the run itself had to stop."""

    exit_code = 3


class UsageError(VidfeatError, ValueError):
    """The request or its input is wrong; nothing was computed."""

    exit_code = 2


class ItemError(VidfeatError):
    """One item cannot be processed; the batch goes on without it."""

    exit_code = 1


class StorageError(VidfeatError):
    """A file cannot be written or read back as it was written: disk full, damage, a lost file system."""

    exit_code = 3
