"""Memory: which to take when. On a GPU CuPy's own pool does what `empty` does.

empty: for results, which the caller keeps. zeros: to compare with, never written to. scratch: for
what a thread needs until its next call. frozen: for what is made of weights that do not change.
Elsewhere, and for one thing each: backend.device_copy, constants on a GPU; Packed, all parameters
in one array; graphs.py, the pool of CUDA graphs; backend.uploaded, page-locked memory for crops.

A network makes the same arrays at every step. Given back to the system in between, their memory
comes back as blank pages, one interrupt and 4096 zeros each. So `empty` keeps what it once got, and
hands it out again when Python counts no reference to it but its own: every view of an array holds
one, so whoever still has any part of a result has it for good.
"""

import sys
import threading
import weakref
from math import prod

import numpy as np

from ..backend import array_module

SMALL = 2**18  # bytes; the allocator keeps smaller ones by itself
KEEP = 500  # takes, several steps of the network; what nobody wanted for so long is given back


def _references(buffers, k):
    """References to buffers[k], including the list's and this call's own."""
    return sys.getrefcount(buffers[k])


class Arena:
    def __init__(self):
        self.buffers, self.taken = [], []  # uint8 arrays, and the number of the take they last saw
        self.takes, self.lock = 0, threading.Lock()

    def empty(self, shape, like):
        """As np.empty, of the dtype and on the device of `like`."""
        xp, count = array_module(like), prod(shape)
        need = count * like.dtype.itemsize
        if xp is not np or need < SMALL:
            return xp.empty(shape, dtype=like.dtype)
        with self.lock:
            self.takes += 1
            k = self._free(need)
            self.taken[k] = self.takes
            return self.buffers[k][:need].view(like.dtype).reshape(shape)

    def _free(self, need):
        """The place of a free buffer of about this size: an old one, or else a new one."""
        free = [k for k in range(len(self.buffers)) if _references(self.buffers, k) == _ALONE]
        for k in free:
            if need <= self.buffers[k].nbytes <= need * 5 // 4:
                return k
        for k in reversed(free):
            if self.takes - self.taken[k] > KEEP:
                del self.buffers[k], self.taken[k]
        self.buffers.append(np.empty(need, np.uint8))
        self.taken.append(0)
        return len(self.buffers) - 1


_ALONE = _references([np.empty(0, np.uint8)], 0)  # what a buffer that nobody holds counts
empty = Arena().empty

_local = threading.local()  # scratch: the thread's arrays


def scratch(name, shape, dtype):
    """An array of the calling thread's own, kept from call to call; its values are junk.

    Memory that is fresh from the system costs more time at its first touch than most of what is
    done here. It is valid until the thread asks for the same name again.
    """
    arrays = _local.__dict__.setdefault("scratch", {})
    key = name, np.dtype(dtype)
    if key not in arrays or arrays[key].size < prod(shape):
        arrays.pop(key, None)  # before its successor comes
        arrays[key] = np.empty(prod(shape), dtype)
    return arrays[key][: prod(shape)].reshape(shape)


_zeros = {}  # dtype -> the largest array of zeros so far


def zeros(shape, dtype):
    """Zeros, not to be written to: np.maximum with them is faster than with the number 0."""
    kept = _zeros.get(dtype)
    if kept is None or kept.size < prod(shape):
        kept = _zeros[dtype] = np.zeros(prod(shape), dtype)
    return kept[: prod(shape)].reshape(shape)


_frozen = {}  # id of an array -> what is kept for it


def freeze(array):
    """Promise that an array will not change any more: what is made of it may be kept."""
    if id(array) not in _frozen:
        try:
            weakref.finalize(array, _frozen.pop, id(array), None)
        except TypeError:  # nobody can tell when it goes
            return
        _frozen[id(array)] = {}


def frozen(array):
    """The dictionary of what is kept for a frozen array, as long as that lives; else None."""
    return _frozen.get(id(array))
