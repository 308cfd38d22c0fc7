"""What both commands check before the work begins."""

import os
import tempfile


def check_folder(folder):
    """Raises OSError if nothing could be written into a folder, which may have yet to be made."""
    nearest = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(nearest)) from None
