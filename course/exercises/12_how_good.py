"""Chapter 12: how good are the colours? Check your answers with: python -m course 12

    AuC = 100 / 150 (share_0 / 2 + share_1 + ... + share_149 + share_150 / 2)

share_t is the share of pixels whose ab distance d to the truth is at most t.
"""

import numpy as np  # noqa: F401


def auc(lab, truth):
    """The area under the curve of share_t over t = 0 ... 150, by the trapezoid rule, in percent.

    lab, truth: (H, W, 3) float64: L, a, b of a coloured picture and of the photo. L is not
    judged: d is the distance in a and b. Returns a number: 100 if all of a and b is right.
    """
    raise NotImplementedError


def balanced_auc(area, label, min_count):
    """The mean of the classes' AuC, in percent.

    area: (P,) float64, the area under each pixel's own curve, 0 ... 150. label: (P,) int, the
    class of its true colour, 0 ... 312. A class with fewer pixels than min_count is left out, and
    so is one without any. Returns a number; nan if no class is left.
    """
    raise NotImplementedError


def paired_interval(ours, theirs, pixels, drawn):
    """The interval that holds 95 % of the resampled differences in AuC, ours minus theirs.

    ours, theirs: (n,) float64: the areas of two systems on the same n photos, each the sum over
    the photo's pixels, of which there are `pixels`, (n,) int. drawn: (B, n) int: how often
    each of B resamples has each photo; the same for both systems. In a resample, the AuC is, in
    percent, the sum of its areas over 150 times the sum of its pixels. Returns two numbers, the
    2.5th and the 97.5th percentile (np.percentile) of the B differences.
    """
    raise NotImplementedError
