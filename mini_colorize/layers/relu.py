"""Chapter 3e: the bias and the rectified linear unit, y = max(x + b, 0), which end a convolution.

They are one function, as each is a single pass over the same numbers. Both passes write over
their input: a network of these needs half the memory.

Notation
    y, dy   (..., C)   output and the gradient to it      b, db   (C,)   bias and its gradient
"""

from math import prod

import numpy as np

from .. import kernels
from ..backend import array_module
from ..threads import scratch
from .common import by_blocks, column_sum

_kept = {}  # dtype -> the largest array of zeros so far


def bias_relu(y, bias, relu=True):
    """y <- max(y + b, 0), or y + b without `relu`. y: (..., C), C-contiguous, overwritten.

    Returns y.
    """
    if array_module(y) is not np:
        return kernels.bias_relu(y, bias, relu)
    y += bias
    return cut_off(y) if relu else y


def cut_off(y):
    """y <- max(y, 0) on a NumPy array. Returns y."""
    return np.maximum(y, _zeros(y.shape, y.dtype), out=y)


def _zeros(shape, dtype):
    """Zeros, not to be written to: np.maximum with them is 5 times as fast as with 0."""
    zeros = _kept.get(dtype)
    if zeros is None or zeros.size < prod(shape):
        zeros = _kept[dtype] = np.zeros(prod(shape), dtype)
    return zeros[: prod(shape)].reshape(shape)


def bias_relu_backward(dy, y, relu=True):
    """dx = dy where y > 0, else 0 (or dy without `relu`);  db = sum of dx over pixels.

    dy: (N, H, W, C), C-contiguous, overwritten by dx. y: what `bias_relu` returned.
    Returns db (C,), float32 at least.
    """
    if array_module(dy) is not np:
        return kernels.bias_relu_backward(dy, y, relu)
    if not relu:
        return by_blocks(lambda dy: (column_sum(dy),), dy)[0]

    def block(dy, y):
        np.multiply(dy, np.greater(y, 0, out=scratch("on", y.shape, bool)), out=dy)
        return (column_sum(dy),)

    return by_blocks(block, dy, y)[0]
