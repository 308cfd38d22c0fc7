"""Files written whole or not at all.

A program that is stopped while it writes leaves half a file, and half a checkpoint is worse than
an old one. So the bytes go to a temporary file in the same folder, and a rename, which the system
does at once, puts it in place when it is complete.
"""

import errno
import os
import secrets
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path):
    """Open `path` for writing so that it changes only when the block ends without an exception.

    path: str or Path. Its folder must exist. A symbolic link is followed, as open() does.
    Yields a binary file, open for reading and writing, seekable.
    Raises OSError that names the file, if it cannot be written. On any exception, Ctrl-C included, the
    temporary file is removed and what stood at `path` stays as it was.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # a rename would replace /dev/null by a file
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        # unlike mkstemp, open gives the permissions of any new file
        with open(temporary, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the bytes must be on the disk before the name is
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        unnamed = isinstance(error, OSError) and error.filename in (None, str(temporary))
        if unnamed and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    _sync_folder(path.parent)


def _sync_folder(folder):
    """Put the new name itself on the disk. POSIX only; some file systems cannot, and no harm."""
    if os.name != "posix":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_folder(folder):
    """Raises OSError if nothing could be written into a folder, which may have yet to be made."""
    nearest = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(nearest)) from None
