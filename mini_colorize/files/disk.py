"""Files written whole or not at all, and folders that one process has for itself.

A program that is stopped while it writes leaves half a file, and half a checkpoint is worse than
an old one. So the bytes go to a temporary file in the same folder, and a rename, which the system
does at once, puts it in place when it is complete.
"""

import errno
import json
import os
import secrets
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY = ".{}.tmp"  # name of a file that is not whole yet; 16 digits make it unlike any other


@contextmanager
def atomic_write(path):
    """Open `path` for writing so that it changes only when the block ends without an exception.

    path: str or Path. Its folder must exist. A symbolic link is followed, as open() does.
    Yields a binary file, open for reading and writing, seekable.
    Raises OSError that names the file, if it cannot be written. On any exception, Ctrl-C included,
    the temporary file is removed and what stood at `path` stays as it was.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # a rename would replace /dev/null by a file
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    temporary = path.parent / TEMPORARY.format(secrets.token_hex(8))
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


def write_json(path, value):
    """Write a JSON file whole or not at all. Raises ValueError for NaN, of which JSON has none."""
    text = json.dumps(value, indent=2, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text.encode() + b"\n")


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


@contextmanager
def claimed(folder, new=False):
    """Have a folder for this process alone until the block ends, or the process does.

    folder: Path; it is made if it is missing, and goes again if nothing is in it at the end.
    new: it must be missing, and of those who try at once only one succeeds.
    Raises BlockingIOError, with a line about who has it, if another process has; FileExistsError
    if it is not `new`; OSError.
    """
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", error.filename) from None
    folder.mkdir(exist_ok=not new)
    path = folder / ".lock"
    file = _locked(path)
    for left in folder.glob(TEMPORARY.format(16 * "[0-9a-f]")):  # by a process that was killed
        left.unlink(missing_ok=True)
    try:
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
        yield
    finally:
        if os.listdir(folder) == [path.name]:  # while it is ours
            with suppress(OSError):
                if os.name != "posix":  # where a file that is open cannot go
                    file.close()
                path.unlink()
                for made in missing:
                    made.rmdir()
        file.close()


def _locked(path):
    """The file at `path`, open and locked: the lock ends with the process, however it ends."""
    while True:
        file = open(path, "a+b")  # noqa: SIM115
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            who = file.read(20).decode(errors="replace")
            file.close()
            told = f"process {who} works in this folder" if who.isdigit() else "it is in use"
            raise BlockingIOError(errno.EAGAIN, told, str(path.parent)) from None
        except OSError:  # some network file systems have no locks
            return file
        with suppress(OSError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        file.close()  # the one who had it took the file along


def _lock(file):
    """Lock a file for this process. Raises BlockingIOError or PermissionError if another has it."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        file.seek(2**20)  # a byte that nobody reads: others can read who has it
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)


def printable(text):
    """Text with its line ends and the codes that a terminal obeys written out.

    A file's name may hold any of them, above all in an archive.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def check_folder(folder):
    """Raises OSError if nothing could be written into a folder, which may have yet to be made."""
    nearest = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(nearest)) from None
