"""Memory for large arrays that is used again as soon as nobody holds the array.

A network makes the same arrays at every step. Given back to the system in between, their memory
comes back as blank pages, one interrupt and 4096 zeros each: about a tenth of a small network's
step. So `empty` keeps what it once got, and hands it out again when Python counts no reference to
it but its own: every view of an array holds one, so whoever still has any part of a result has it
for good.
"""

import sys
import threading
from math import prod

import numpy as np

from .backend import array_module

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
