"""Operations of a few numbers a pixel, on the CPU in blocks that stay in a core's cache.

Notation: as in chapters 6 and 3.
"""

import numpy as np

from .memory import empty, scratch, zeros
from .threads import parallel_for, split

BLOCK_BYTES = 2**19  # of each array that a thread works on at a time: they stay in its cache


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

    parallel_for(one, range(len(blocks)))
    if sums[0] is not None:
        return [
            np.sum(s, axis=0, dtype=np.float64).astype(rows[0].dtype)
            for s in zip(*sums, strict=True)
        ]


def column_sum(x):
    """Sum over rows, (rows, C) -> (C,): by BLAS, several times faster than x.sum(axis=0).

    np.dot, since np.matmul (@) with the vector on the left keeps Python's lock: threads would wait.
    """
    return np.dot(np.ones(len(x), x.dtype), x)


def clamp(y):
    """y <- max(y, 0). Returns y."""
    return np.maximum(y, zeros(y.shape, y.dtype), out=y)


def bias_relu(x, bias, relu=True):
    """The same as in chapter 3, written over x, C-contiguous."""
    x += bias
    return clamp(x) if relu else x


def bias_relu_backward(dy, y, relu=True):
    """The same as in chapter 3; dx is written over dy if that is C-contiguous."""
    dy = np.ascontiguousarray(dy)
    if not relu:
        return dy, by_blocks(lambda dy: (column_sum(dy),), dy)[0]

    def block(dy, y):
        np.multiply(dy, np.greater(y, 0, out=scratch("on", y.shape, bool)), out=dy)
        return (column_sum(dy),)

    return dy, by_blocks(block, dy, y)[0]


def batchnorm_statistics(x):
    """mu and var (biased, over M) of every channel. x: (N, H, W, C). Returns two (C,)."""
    m = x.size // x.shape[3]
    (total,) = by_blocks(lambda x: (column_sum(x),), x)
    mu = total / m

    def block(x):
        centred = np.subtract(x, mu, out=scratch("centred", x.shape, x.dtype))
        return (column_sum(np.square(centred, out=centred)),)

    (total,) = by_blocks(block, x)
    return mu, total / m


def batchnorm_normalize(x, mean, scale, shift):
    """y = (x - mean) scale + shift. x: (N, H, W, C), the others (C,). Returns a new array."""
    y = empty(x.shape, x)

    def block(x, y):
        np.subtract(x, mean, out=y)
        y *= scale
        y += shift

    by_blocks(block, x, y)
    return y


def batchnorm_sums(dy, x, mean):
    """sum dy and sum dy (x - mean) over pixels. dy, x: (N, H, W, C). Returns two (C,)."""

    def block(dy, x):
        product = np.subtract(x, mean, out=scratch("centred", x.shape, x.dtype))
        product *= dy
        return column_sum(dy), column_sum(product)

    return by_blocks(block, dy, x)


def batchnorm_backward(dy, x, mean, scale, offset, slope):
    """dx = scale (dy - offset - (x - mean) slope), written over dy if that is C-contiguous.

    All but dy, x are (C,).
    """
    dy = np.ascontiguousarray(dy)

    def block(dy, x):
        part = np.subtract(x, mean, out=scratch("centred", x.shape, x.dtype))
        part *= slope
        part += offset
        dy -= part
        dy *= scale

    by_blocks(block, dy, x)
    return dy
