"""The errors a person can meet, each a sentence that names the value, the limit and the mend, and their exit codes."""

from __future__ import annotations

import errno

EXIT_DONE = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_HOLD = 3
EXIT_DATA_REFUSED = 4
# What shells give a program that Ctrl-C ended, and one that SIGTERM did.
EXIT_INTERRUPTED = 130
EXIT_STOPPED = 143


class EvernasError(Exception):
    """A failure whose text is written for the person who meets it."""

    exit_code = EXIT_FAILURE


class UsageError(EvernasError):
    """The command line or the config asks for something impossible; nothing was done."""

    exit_code = EXIT_USAGE


class HoldError(EvernasError):
    """A promotion was asked for that the gate does not allow."""

    exit_code = EXIT_HOLD


class DataRefusedError(EvernasError):
    """The data as a whole cannot be trusted; the champion stays."""

    exit_code = EXIT_DATA_REFUSED


class IntegrityError(EvernasError):
    """Bytes in the state folder are not the bytes whose digest was recorded."""


class OwnershipError(EvernasError):
    """The state folder is owned by another run."""


class UnknownOutcome(EvernasError):  # noqa: N818 - it names the state, not a failure
    """A write got no answer: it may have happened or not. The same write again finds out."""


class Interrupted(Exception):  # noqa: N818 - it names the state, not a failure
    """Work was asked to stop, and did where it can be gone on with."""


_MENDS = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there, or raise the quota",
    errno.EFBIG: "allow larger files there",
    errno.EEXIST: "name a folder",
    errno.ENOTDIR: "name a folder",
    errno.EROFS: "make it writable, or name another place",
    errno.EACCES: "give this account the right to it, or name another place",
    errno.EPERM: "give this account the right to it, or name another place",
}


def refused_by_disk(error: OSError) -> str | None:
    """The sentence for what the file system refuses, by the place's state and not by a fault of ours; else None."""
    mend = _MENDS.get(error.errno or 0)
    if mend is None:
        return None
    place = "The disk" if error.filename is None else str(error.filename)
    return f"{place} cannot be used ({error.strerror}): {mend}, and give the same command again."
