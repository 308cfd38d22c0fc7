"""What is measured of one photo: how far its colours are from the truth (section 3.1 of the paper).

Every pixel has an ab distance d between its colour and the true one. The share of pixels with
d <= t, over the thresholds t = 0, 1 ... 150, is a curve that rises to 1, and the area under it, by
the trapezoid rule and as a percentage of its largest possible value, is the AuC:

    AuC = 100 / 150  sum over t of c_t share(d <= t),   c_0 = c_150 = 1/2, all others 1

The truth itself has 100, and so has nothing else. As a sum over thresholds is also a sum over
pixels, a pixel adds an area of its own: 150 if d = 0, 150 - k + 1/2 if k = ceil(d) is 1 ... 150,
else 0. The areas are counted in halves, as whole numbers: sums of them know no rounding.

    raw          all pixels of all photos alike: most of them are nearly grey
    balanced     the pixels of each class apart, the bin nearest to their true colour (chapter 2);
                 then the mean over the classes: rare, vivid colours count like grey ones

Notation
    H, W   a photo's own size       P   its pixels, H W        q   class, one of Q = 313
    t      threshold, ab units      k   ceil(d), 151 for all beyond 150
"""

import numpy as np

from .bins import Q
from .ops import ops

LAST = 150  # the largest threshold
STEPS = LAST + 2  # values of k

# By k: the area of a pixel in halves of a threshold, so that d = 0 has 300.
HALVES = np.array([2 * LAST, *(2 * (LAST - k) + 1 for k in range(1, LAST + 1)), 0], np.int64)


def classes(ab):
    """The class of each pixel: its nearest bin. ab: (..., 2) float, NumPy. Returns (...) int32."""
    return ops(ab).soft_encode(ab, k=1)[0][..., 0]


def histogram(ab, truth, label):
    """How many pixels of each class are how far off.

    ab, truth: (H, W, 2) float32. label: (H, W) int, the classes of the truth.
    Returns (Q, STEPS) int64: pixels by class and by k.
    """
    d = np.sqrt(np.square(ab - truth, dtype=np.float64).sum(-1))
    k = np.minimum(np.ceil(d), LAST + 1).astype(np.int64)
    counts = np.bincount((label * STEPS + k).ravel(), minlength=Q * STEPS)
    return counts.reshape(Q, STEPS)


def curves(counts, min_count):
    """The two cumulative curves of a histogram.

    counts: (Q, STEPS) int64. min_count: classes with fewer pixels are left out of the balanced.
    Returns raw and balanced, (151,) float64 each: the share of pixels with d <= t.
    """
    pixels = counts.sum(axis=1)
    within = counts.cumsum(axis=1)[:, : LAST + 1]
    used = pixels >= max(1, min_count)
    raw = within.sum(axis=0) / max(1, pixels.sum())
    if not used.any():
        return raw, np.full(LAST + 1, np.nan)
    return raw, (within[used] / pixels[used, None]).mean(axis=0)


def squared_error(picture, truth):
    """Sum of squared differences over all values. Both (H, W, 3) uint8 sRGB. Returns an int."""
    return int(np.square(picture.astype(np.int64) - truth).sum())


def colorfulness(rgb):
    """How colourful a picture looks: 0 for grey, about 33 moderate, 59 quite, 82 very.

    Equation 5 of Hasler and Süsstrunk, Measuring colourfulness in natural images, 2003.
    rgb: (..., 3), uint8 or float 0..1; all pixels count as one picture. Returns a float.
    """
    rgb = rgb.astype(np.float64) * (1 if rgb.dtype == np.uint8 else 255)
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    rg, yb = r - g, (r + g) / 2 - b
    spread = np.hypot(rg.std(), yb.std())
    return float(spread + 0.3 * np.hypot(rg.mean(), yb.mean()))
