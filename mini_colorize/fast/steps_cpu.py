"""The steps of a convolution on the CPU, by all threads: see gather.py and winograd.py."""

from . import memory
from .memory import empty
from .pointwise import bias_relu
from .threads import THREADS
from .threads import parallel_for as each
from .windows import columns
from .winograd_cpu import convolve, sum_products

WORK_BYTES = 2 * 2**20  # cap of a thread's gathered columns: they stay near its core's cache
COLUMNS = 2**11  # of filters: with more, OpenBLAS takes its way for large products, which is slower
WIDE = True  # a transposed convolution may be a wide one, see convolution.py


def scratch(name, shape, like):
    """Memory until the thread's next call, of the dtype of `like`."""
    return memory.scratch(name, shape, like.dtype)


def constant(array, like):
    """A NumPy array that never changes, on the device of `like`."""
    return array
