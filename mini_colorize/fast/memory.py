"""Memory: which to take when.

    empty          on the CPU, a result, which the caller keeps; on a GPU CuPy's own pool does that
    give_back      before other sizes come: what `empty` keeps
    scratch        on the CPU, what a thread needs until its next call
    zeros          on the CPU, to compare with, never written to
    freeze         what is made of weights that do not change may be kept with them
    constant       on a GPU, what never changes: copied there once
    whole          on a GPU, logits with the padding of their rows
    Packed         all parameters, or all gradients, in one array
    graphs.py      the pool of CUDA graphs
    backend.py     page-locked memory for crops on their way to a GPU

A network makes the same arrays at every step. Given back to the system in between, their memory
comes back as blank pages, one interrupt and 4096 zeros each. So `empty` keeps what it once got, and
hands it out again when Python counts no reference to it but its own: every view of an array holds
one, so whoever still has any part of a result has it for good.
"""

import sys
import threading
import weakref
from contextlib import suppress
from functools import cache
from itertools import compress
from math import prod

import numpy as np

from ..backend import array_module

ALIGNED = 16  # bytes that a GPU's thread reads at once, where rows begin at multiples of it
SMALL = 2**18  # bytes; the allocator keeps smaller ones by itself
KEEP = 500  # takes, several steps of the network; what nobody wanted for so long is given back
ALIGN = 64  # numbers; every array of a Packed begins at a multiple of 256 bytes, as a GPU likes it


def _references(buffers, k):
    """References to buffers[k], including the list's and this call's own."""
    return sys.getrefcount(buffers[k])


class Arena:
    def __init__(self):
        self.buffers, self.taken = [], []  # uint8 arrays, and the number of the take they last saw
        self.takes, self.lock = 0, threading.Lock()

    def empty(self, shape, like):
        """As np.empty, of the dtype of `like`."""
        need = prod(shape) * like.dtype.itemsize
        if need < SMALL:
            return np.empty(shape, like.dtype)
        with self.lock:
            self.takes += 1
            k = self._free(need)
            self.taken[k] = self.takes
            return self.buffers[k][:need].view(like.dtype).reshape(shape)

    def give_back(self):
        """To the system, what nobody holds: other sizes come, for which little of it fits."""
        with self.lock:
            held = [_references(self.buffers, k) > _ALONE for k in range(len(self.buffers))]
            self.buffers = list(compress(self.buffers, held))
            self.taken = list(compress(self.taken, held))

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
_arena = Arena()
empty, give_back = _arena.empty, _arena.give_back

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
    if dtype not in _zeros or _zeros[dtype].size < prod(shape):
        _zeros[dtype] = np.zeros(prod(shape), dtype)
    return _zeros[dtype][: prod(shape)].reshape(shape)


_frozen = {}  # id of an array -> what is kept for it: None at its first use


def freeze(array):
    """An array is used that will not change any more: what is made of it may be kept."""
    if id(array) not in _frozen:
        with suppress(TypeError):  # nobody could tell when it goes
            weakref.finalize(array, _frozen.pop, id(array), None)
            _frozen[id(array)] = None
    elif _frozen[id(array)] is None:
        _frozen[id(array)] = {}


def is_frozen(array):
    """Whether an array was frozen, be it once: how it is used must not change with the second."""
    return id(array) in _frozen


def frozen(array):
    """The dictionary of what is kept for an array, as long as that lives, if it was frozen twice;
    else None: what is used once need not be kept."""
    return _frozen.get(id(array))


class _Same:
    """Makes an array a key of a cache: equal only to itself."""

    def __init__(self, array):
        self.array = array

    def __hash__(self):
        return id(self.array)

    def __eq__(self, other):
        return self.array is other.array


def constant(array, like):
    """A NumPy array on the GPU, as `like` is, copied there once and kept. Never write to it."""
    xp = array_module(like)
    return _constant(_Same(array), xp, xp.cuda.Device().id)


@cache  # for good: a CUDA graph may read it
def _constant(same, xp, device):
    return xp.asarray(same.array)


def number(value, like, dtype=np.float32, shape=()):
    """A Python number as a `constant` of this shape, all of it the same; an array as it is."""
    if not isinstance(value, (int, float)):
        return value
    return constant(_filled(value, dtype, shape), like)


@cache
def _filled(value, dtype, shape):
    return np.full(shape, value, dtype)


def padded(channels):
    """How far apart rows of so many numbers lie that all begin at 16 bytes, in float16 as well."""
    return -(-channels // 8) * 8


def whole(x):
    """x (..., C), with the padding that lies between its rows: (..., padded(C)), the same memory.

    x must be the first C channels of such an array, as its strides tell; else, and if x is
    contiguous, it is x itself. What lies in the padding of logits has no meaning; of gradients to
    them it is 0 (or NaN, in a row that is).
    """
    if x.flags.c_contiguous or x.data.ptr % ALIGNED:
        return x
    shape, strides = (*x.shape[:-1], padded(x.shape[-1])), [x.itemsize]
    for size in shape[:0:-1]:
        strides.insert(0, size * strides[0])
    if any(n > 1 and a != b for n, a, b in zip(x.shape, x.strides, strides, strict=True)):
        return x
    return array_module(x).lib.stride_tricks.as_strided(x, shape, strides)


class Packed(dict):
    """Named arrays laid end to end in one, `flat`: name -> view of it.

    One pass over `flat` treats them all, where a loop over them would be dozens of small ones.
    The arrays of convolution weights, those with 4 dimensions, come first: the first `decayed`
    numbers are theirs. The gaps between arrays (see ALIGN) are 0.
    """

    def __init__(self, arrays):
        super().__init__()
        order = sorted(arrays, key=lambda name: arrays[name].ndim != 4)  # stable
        starts, end, self.decayed = {}, 0, 0
        for name in order:
            starts[name] = end
            end += -(-arrays[name].size // ALIGN) * ALIGN
            if arrays[name].ndim == 4:
                self.decayed = end
        some = next(iter(arrays.values()))
        self.flat = array_module(some).zeros(end, dtype=some.dtype)
        for name, array in arrays.items():  # in their own order
            view = self.flat[starts[name] : starts[name] + array.size].reshape(array.shape)
            view[...] = array
            self[name] = view

    def zeros_like(self):
        """The same names and shapes, all 0."""
        other = Packed(self)
        other.flat[...] = 0
        return other
