"""Chapter 13: fast on a CPU. Check your answers with: python -m course 13

    y = A^T [(G g) * (B^T x)]     t = m + 2 numbers x, a filter g of 3, m numbers y

* multiplies number by number; y_k = x_k g_0 + x_{k+1} g_1 + x_{k+2} g_2: the filter is not flipped.
"""

import numpy as np  # noqa: F401


def winograd_matrices(points):
    """The matrices of Winograd's convolution for m outputs and 3 taps.

    points: m + 1 numbers, all different; infinity comes in addition, so t = m + 2 points in all.
    A and G evaluate polynomials at the points (at infinity: their last coefficient). The columns of
    B are the coefficients of N_p, the product of (z - q) over the other points, 1 at z^t-2 and
    nothing at z^t-1; for infinity those of N, over all the points. N_p(p) divides somewhere.
    Returns B^T (t, t), G (t, 3), A^T (m, t), float64. Any order of points and any place of the
    factors is right, as long as y is.
    """
    raise NotImplementedError


def winograd_correlate(x, weight, bt, g, at):
    """A convolution by tiles: 3x3, stride 1, no padding, any size.

    x: (H, W, C_in) float64, H and W at least 3. weight: (3, 3, C_in, C_out). bt (t, t), g (t, 3),
    at (m, t): the matrices. Returns y (H - 2, W - 2, C_out):

        y[r, c] = sum over i, j of x[r + i, c + j] @ weight[i, j]

    A tile X of t x t pixels makes m x m outputs, Y = A^T [(G W G^T) (B^T X B)] A: at each of its
    t t points, the product sums over C_in. Tiles begin m pixels apart. The last ones overhang.
    """
    raise NotImplementedError


def block_statistics(blocks):
    """Mean and variance of each channel, from blocks that come by once.

    blocks: an iterable of (rows, C) float32 arrays, of any numbers of rows from 1 on. It can be
    gone through once, and a block's memory is overwritten when the next one comes. The variance is
    biased: divided by the number M of all rows. Channels may have a large mean (4096) and a small
    variance (1), of which 4 digits are wanted.
    Returns mean and var, both (C,).
    """
    raise NotImplementedError
