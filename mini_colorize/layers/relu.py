"""Chapter 3: the bias and the rectified linear unit, which end a convolution.

    y = max(x + b, 0)          dx = dy where y > 0, else 0          db = sum of dx over pixels

The x here is the X W of chapter 4, and the dx here is the dy that its backward pass wants.

Notation
    x, y, dy, dx   (N, H, W, C)   input, output and their gradients
    b, db          (C,)           bias and its gradient
"""

import numpy as np


def bias_relu(x, bias, relu=True):
    """y = max(x + b, 0), or x + b without `relu`. Returns (N, H, W, C)."""
    y = x + bias
    return np.maximum(y, 0) if relu else y


def bias_relu_backward(dy, y, relu=True):
    """dx = dy where y > 0, or dy without `relu`;  db = sum of dx over pixels.

    y: what `bias_relu` returned; not read without `relu`. Returns dx (N, H, W, C), db (C,).
    """
    dx = dy * (y > 0) if relu else dy
    db = dx.sum(axis=(0, 1, 2), dtype=np.float64)
    return dx, db.astype(dy.dtype)
