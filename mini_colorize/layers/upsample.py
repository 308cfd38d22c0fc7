"""Chapter 11: bilinear upsampling, from the network's ab to the size of the photograph.

Bilinear interpolation is linear and separable, so it is two small matrices, and its gradient is
their transposes:

    y = A_h x A_w^T        dx = A_h^T dy A_w

Pixel centres lie at half-integers: output pixel o looks at input position (o + 1/2) n / m - 1/2,
clamped to the input (torch calls this align_corners=False). Meant for enlarging; there is no
smoothing, so a strong reduction would alias.

Notation
    n, m   input and output pixels along one axis: h or w, and H or W
    A      (m, n), at most two numbers a row that are not 0, of sum 1
"""

import numpy as np


def interpolation_matrix(n, m, rows=slice(None)):
    """A for n -> m pixels, or its rows in the slice `rows` only. Returns (rows, n) float64."""
    at = np.clip((np.arange(m)[rows] + 0.5) * (n / m) - 0.5, 0, n - 1)
    low = np.minimum(at.astype(np.int64), max(n - 2, 0))
    a = np.zeros((len(at), n))
    each = np.arange(len(at))
    a[each, low] = 1 - (at - low)
    a[each, np.minimum(low + 1, n - 1)] += at - low
    return a


def apply_matrices(a_h, x, a_w):
    """a_h x a_w^T for every picture and channel. x: (N, H, W, C). Returns the same dtype."""
    planes = a_h.astype(x.dtype) @ x.transpose(0, 3, 1, 2) @ a_w.astype(x.dtype).T
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def upsample(x, size, rows=slice(None)):
    """y = A_h x A_w^T. x: (N, h, w, C), size: (H, W) -> (N, H, W, C), or only some `rows` of it.

    Large pictures are made in strips of rows, so that no more than one is in memory.
    """
    a_h = interpolation_matrix(x.shape[1], size[0], rows)
    return apply_matrices(a_h, x, interpolation_matrix(x.shape[2], size[1]))


def upsample_backward(dy, size):
    """dx = A_h^T dy A_w. dy: (N, H, W, C), size: (h, w) -> (N, h, w, C)."""
    a_h = interpolation_matrix(size[0], dy.shape[1])
    a_w = interpolation_matrix(size[1], dy.shape[2])
    return apply_matrices(a_h.T, dy, a_w.T)
