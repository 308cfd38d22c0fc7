"""Chapter 3f: bilinear upsampling, from the network's ab to the size of the photograph.

Bilinear interpolation is linear and separable, so it is two small matrices, and its gradient is
their transposes:

    y = A_h x A_w^T        dx = A_h^T dy A_w

Pixel centres lie at half-integers: output pixel o looks at input position (o + 1/2) n / m - 1/2,
clamped to the input (torch calls this align_corners=False).

Notation
    n, m   input and output pixels along one axis      A   (m, n), two entries a row, of sum 1
"""

import numpy as np

from .. import kernels
from ..backend import array_module


def interpolation_matrix(n, m, rows=slice(None)):
    """A for n -> m pixels, or only some of its rows. Returns (rows, n) float64."""
    at = np.clip((np.arange(m)[rows] + 0.5) * (n / m) - 0.5, 0, n - 1)
    low = np.minimum(at.astype(np.int64), max(n - 2, 0))
    a = np.zeros((len(at), n))
    each = np.arange(len(at))
    a[each, low] = 1 - (at - low)
    a[each, np.minimum(low + 1, n - 1)] += at - low
    return a


def apply_matrices(a_h, x, a_w):
    """a_h x a_w^T for every picture and channel. x: (N, H, W, C)."""
    xp = array_module(x)
    a_h, a_w = xp.asarray(a_h, dtype=x.dtype), xp.asarray(a_w, dtype=x.dtype)
    planes = a_h @ x.transpose(0, 3, 1, 2) @ a_w.T
    return xp.ascontiguousarray(planes.transpose(0, 2, 3, 1))


class BilinearUpsample:
    """Resize pictures to `size` = (H, W) by bilinear interpolation. Nothing is kept but a shape.

    Meant for enlarging; there is no smoothing, so a strong reduction would alias.
    """

    def __init__(self, size):
        self.size = size
        self.params, self.grads = {}, {}
        self.source = None

    def forward(self, x, train=False, rows=slice(None)):
        """y = A_h x A_w^T. x: (N, h, w, C) -> (N, H, W, C), or only some `rows` of it.

        Large pictures are made in strips of rows, so that no more than one is in memory.
        """
        self.source = x.shape[1:3] if train else None
        if array_module(x) is not np:
            return kernels.upsample(x, self.size, rows)
        h, w = x.shape[1:3]
        a_h = interpolation_matrix(h, self.size[0], rows)
        return apply_matrices(a_h, x, interpolation_matrix(w, self.size[1]))

    def backward(self, dy):
        """dx = A_h^T dy A_w. dy: (N, H, W, C) -> (N, h, w, C)."""
        (h, w), self.source = self.source, None
        a_h, a_w = interpolation_matrix(h, self.size[0]), interpolation_matrix(w, self.size[1])
        return apply_matrices(a_h.T, dy, a_w.T)
