"""Loop twins of the layers: as the definition says it, one number at a time; central differences.

Slow on purpose and free of every trick, so that they can be checked by reading. The tests compare
mini_colorize with them on small arrays. All arithmetic is float64, whatever comes in. Where scipy
has the operation, it is what the tests compare with.

Notation: as in mini_colorize.layers.conv.
"""

import math

import numpy as np

# kernel, stride, dilation, padding (None: what keeps the size)
CONVS = [
    (kernel, stride, dilation, padding)
    for kernel in (1, 3)
    for stride in (1, 2)
    for dilation in (1, 2)
    for padding in (0, None)
    if kernel == 3 or (dilation == 1 and padding == 0)
] + [(3, 3, 2, 1), (2, 2, 1, 0), (1, 2, 1, 1), (3, 2, 4, 4)]
# kernel, stride, dilation, padding
TRANSPOSED = [(4, 2, 1, 1), (3, 2, 1, 1), (3, 1, 2, 2), (2, 3, 1, 0), (3, 2, 2, 1)]


def conv_transpose2d(x, w, b, stride, dilation, padding):
    """Every input pixel stamps the filter, times its value, onto the output.

    x (N, H, W, C_in), w (kh, kw, C_in, C_out), b (C_out,) -> (N, Ho, Wo, C_out).
    """
    n, height, width, c_in = x.shape
    kh, kw, _, c_out = w.shape
    ho = (height - 1) * stride - 2 * padding + dilation * (kh - 1) + 1
    wo = (width - 1) * stride - 2 * padding + dilation * (kw - 1) + 1
    y = np.zeros((n, ho, wo, c_out)) + b
    for picture, r, c, k in np.ndindex(x.shape):
        for i, j in np.ndindex(kh, kw):
            row, col = r * stride - padding + i * dilation, c * stride - padding + j * dilation
            if 0 <= row < ho and 0 <= col < wo:
                for o in range(c_out):
                    y[picture, row, col, o] += float(x[picture, r, c, k]) * float(w[i, j, k, o])
    return y


def upsample(x, size):
    """Bilinear, pixel centres at half-integers. x (N, h, w, C) -> (N, H, W, C)."""
    n, h, w, channels = x.shape
    y = np.zeros((n, *size, channels))

    def neighbours(o, small, large):
        """The two input pixels around output pixel o and the share of the second."""
        at = min(max((o + 0.5) * small / large - 0.5, 0), small - 1)
        low = math.floor(at)
        return low, min(low + 1, small - 1), at - low

    for picture, r, c, k in np.ndindex(y.shape):
        r0, r1, down = neighbours(r, h, size[0])
        c0, c1, right = neighbours(c, w, size[1])
        top = (1 - right) * x[picture, r0, c0, k] + right * x[picture, r0, c1, k]
        bottom = (1 - right) * x[picture, r1, c0, k] + right * x[picture, r1, c1, k]
        y[picture, r, c, k] = (1 - down) * top + down * bottom
    return y


def numeric_gradient(f, array, eps=1e-6):
    """Central differences: df/d array, entry by entry. `array` is changed, and restored."""
    gradient = np.zeros_like(array)
    for at in np.ndindex(array.shape):
        kept = array[at]
        array[at] = kept + eps
        above = f()
        array[at] = kept - eps
        below = f()
        array[at] = kept
        gradient[at] = (above - below) / (2 * eps)
    return gradient


def relative_error(value, truth):
    """|value - truth| / |truth|, both as one long vector (L2 norms)."""
    value, truth = np.asarray(value, np.float64), np.asarray(truth, np.float64)
    assert value.shape == truth.shape
    return np.linalg.norm(value - truth) / np.linalg.norm(truth)
