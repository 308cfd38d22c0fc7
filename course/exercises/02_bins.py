"""Chapter 2: 313 bins and soft-encoding. Check your answers with: python -m course 2

The bins are points of the ab plane whose coordinates are multiples of 10. BINS holds the 313 that
matter, (313, 2) float32, ordered by a, then by b.
"""

import numpy as np  # noqa: F401

from mini_colorize.bins import BINS  # noqa: F401


def corner_bins(ab, step, reach):
    """The bins that some colour stands among: the four corners of the grid's square it lies in.

    ab: (M, 2) float64, the a and b of M colours; none lies on a line of the grid, and all lie
    within reach * step. step: the distance of two bins. reach: how many bins to draw on each side
    of 0.
    Returns (2 reach + 1, 2 reach + 1) bool. At [i, j] stands whether the bin with
    a = step (i - reach), b = step (j - reach) is a corner for one colour or more.
    """
    raise NotImplementedError


def soft_encode(ab, k, sigma):
    """Z of each pixel: its k nearest bins of BINS, weighted by a Gaussian of the distance d.

        Z_q = exp(-d_q^2 / (2 sigma^2)) / sum of the same over the k nearest bins

    ab: (N, h, w, 2) float64. Returns index (N, h, w, k), integers, the rows of BINS, nearest
    first; and weight (N, h, w, k), their Z.
    """
    raise NotImplementedError


def prior_and_weights(index, weight, lam, q):
    """How frequent each bin is, and how much a pixel of that bin is to count.

        p = mean of Z over the pixels
        w proportional to 1 / ((1 - lambda) p + lambda / Q),   scaled so that sum_q p_q w_q = 1

    index: (N, h, w, K), the bins of each pixel. weight: (N, h, w, K) float64, the Z there; a pixel
    of a photo without colour has weights 0 and does not count. lam: lambda, a number. q: Q, the
    number of bins. Returns p (Q,), of sum 1, and w (Q,).
    """
    raise NotImplementedError
