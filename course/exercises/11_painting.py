"""Chapter 11: from probabilities to a picture. Check your answers with: python -m course 11

p = softmax(z / T)            z: logits, T: temperature
i = (o + 1/2) n / m - 1/2     where output pixel o of m looks among n input pixels
color ~ s L + o               in a window; s: slope, o: offset
"""

import numpy as np  # noqa: F401


def annealed_mean(logits, centres, temperature):
    """One colour for each pixel, of its distribution over the bins.

    logits: (H, W, Q) float64, of any size: a pixel's may be above 2000, or all below -2000.
    centres: (Q, 2), a and b of each bin. temperature: T, 0 or more. Returns (H, W, 2):

        color = sum_q p_q centre_q,    p = softmax(logits / T)

    T = 0 is the limit: the centre of the largest logit, of the first one among equals.
    """
    raise NotImplementedError


def interpolation_matrix(n, m):
    """Bilinear enlargement along one axis, as a matrix A: y = A x for n pixels x and m pixels y.

    Output pixel o looks at the place (o + 1/2) n / m - 1/2 of the input, where the centre of
    input pixel i is the place i. A place beyond the first or last centre is moved onto it. Between
    two centres the nearer one has the larger share: 1 minus its distance.
    Returns (m, n) float64. n may be 1.
    """
    raise NotImplementedError


def fit_lines(light, color, radius, eps):
    """In the window around each pixel, the line in lightness that is closest to the colour.

        s = cov(L, color) / (var(L) + eps)        o = mean(color) - s mean(L)

    light, color: (h, w) float64. A window holds all pixels of the picture that are at most
    `radius` rows and `radius` columns away: (2 radius + 1)^2 of them, fewer at the border.
    cov, var and mean are those of the window's pixels, var divided by their number.
    Returns s, o, both (h, w).
    """
    raise NotImplementedError
