"""The door: `ops(x)` is the body of code that serves an array.

float64 gets the chapters themselves, so gradient checks check the code that is taught; other NumPy
arrays the fast twins of the CPU, CuPy's those of the GPU. MINI_COLORIZE_OPS=plain in the
environment gives the chapters to every NumPy array.
"""

import numpy as np

from . import chapters
from .backend import array_module
from .fast import cpu, cuda
from .switches import PLAIN


def ops(x):
    """The operations for an array x: `chapters`, `fast.cpu` or `fast.cuda`, of the same names."""
    if array_module(x) is not np:
        return cuda
    return chapters if PLAIN or x.dtype == np.float64 else cpu
