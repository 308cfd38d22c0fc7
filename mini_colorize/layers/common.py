"""Small things that several layers need."""

from functools import lru_cache

import numpy as np

from ..backend import array_module, device_copy
from ..threads import run, split

BLOCK_BYTES = 2**19  # of each array that a thread works on at a time: they stay in its cache


def output_size(size, kernel, stride, dilation, padding):
    """Ho for H = size (or Wo for W). Raises ValueError if nothing is left."""
    out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    if out < 1:
        raise ValueError(f"an input of {size} pixels is too small for this convolution")
    return out


def fill_vector(fill, x):
    """The value around x, a number or (C,), as kernels want it: (C,) float32 on x's device."""
    if isinstance(fill, (int, float)):
        return device_copy(_constant(fill, x.shape[3]), array_module(x))
    return fill


@lru_cache(maxsize=32)
def _constant(value, channels):
    return np.full(channels, value, np.float32)


def by_blocks(function, *arrays):
    """function(*blocks) for blocks of pixels of arrays (N, H, W, C), shared among the threads.

    The blocks are (pixels, C). Where a channel's numbers are few for the vector units, nothing is
    lost: a pass over a block costs about the same whatever C is. What the function returns, a
    tuple of (C,) sums over its pixels, is added up in float64, in an order that does not depend on
    the threads. Returns these sums, in the arrays' dtype, or None if the function returns None.
    """
    rows = [x.reshape(-1, x.shape[-1]) for x in arrays]
    width = rows[0].shape[1] * rows[0].itemsize
    blocks = split(len(rows[0]), BLOCK_BYTES // width)
    sums = [None] * len(blocks)

    def one(k):
        sums[k] = function(*(x[blocks[k]] for x in rows))

    run(one, range(len(blocks)))
    if sums[0] is not None:
        return [
            np.sum(s, axis=0, dtype=np.float64).astype(rows[0].dtype)
            for s in zip(*sums, strict=True)
        ]


def column_sum(x):
    """Sum over rows, (rows, C) -> (C,): by BLAS, several times faster than x.sum(axis=0).

    np.dot, since two threads at this by np.matmul (@) wait for one another.
    """
    return np.dot(np.ones(len(x), x.dtype), x)


def keep_gradient(grads, name, value):
    """Store a gradient: in the array that is there for it (see Network.pack), else as a new one."""
    if name in grads:
        grads[name][...] = value
    else:
        grads[name] = value
