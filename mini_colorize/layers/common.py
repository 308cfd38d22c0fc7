"""Small things that several layers need."""

from functools import lru_cache

import numpy as np

from ..backend import array_module, device_copy


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


def pixel_sum(x):
    """Sum over pictures and pixels, (N, H, W, C) -> (C,), in two steps.

    NumPy adds along a leading axis one row after another; in float32 a million rows would lose
    digits. A sum a picture row first, then over these, keeps the error small.
    """
    return x.sum(axis=2).sum(axis=(0, 1))


def keep_gradient(grads, name, value):
    """Store a gradient: in the array that is there for it (see Network.pack), else as a new one."""
    if name in grads:
        grads[name][...] = value
    else:
        grads[name] = value
