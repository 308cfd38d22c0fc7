"""Chapter 11: enlarging ab along the edges of the photograph.

Bilinear enlargement knows nothing of the photo, so the colour of one thing runs over its edge into
the next. Yet the photo is there at full resolution: within a small window, colour mostly changes
where lightness does. So in every window of the small picture, ab is fitted as a line in lightness,

    ab ~ s L + o,     s = cov(L, ab) / (var(L) + EPSILON),     o = mean(ab) - s mean(L)

s and o are averaged over the windows that a pixel lies in and enlarged bilinearly, since they
change slowly, and the line is taken of the full-resolution L: colour gets the edges of L. Where L
is flat, s goes to 0 and ab to its mean. A line says nothing of an L beyond those it was fitted to,
such as a scratch's, so L is first cut to the range of the window.

Sources: He, Sun and Tang, "Guided image filtering", 2013; fitting at low resolution: He and Sun,
"Fast guided filter", 2015. The paper enlarges bilinearly.

Notation
    H, W   the photo's size    h, w   that of ab    L   lightness, 0..100    s, o   slope, offset
    lo, hi the least and the greatest L of a window
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from .backend import array_module, to_host
from .layers.upsample import apply_matrices
from .ops import ops

RADIUS = 1 / 16  # of a window, in sides of the small picture; rounds to 0, no window, below 9
EPSILON = 20.0  # L^2: contrasts well below its root are taken for flat


def box_matrix(n, radius):
    """(n, n) float64: row i is the mean over the pixels within `radius` of i in the picture."""
    i = np.arange(n)
    near = abs(i[:, None] - i) <= radius
    return near / near.sum(axis=1, keepdims=True)


def window_range(x, radii):
    """The least and the greatest of every window. x: (h, w). Returns two of (h, w)."""
    least = greatest = np.pad(x, [(r, r) for r in radii], mode="edge")
    for axis, radius in enumerate(radii):  # along one axis, and of these along the other
        windows = (sliding_window_view(v, 2 * radius + 1, axis) for v in (least, greatest))
        least, greatest = next(windows).min(axis=-1), next(windows).max(axis=-1)
    return least, greatest


def window_lines(light, ab, boxes, epsilon=EPSILON):
    """Slope and offset of the line in every window.

    light: (h, w, 1), L. ab: (h, w, C). boxes: `box_matrix` of h and of w. Returns s, o (h, w, C).
    """

    def mean(x):
        return apply_matrices(boxes[0], x[None], boxes[1])[0]

    mean_light, mean_ab = mean(light), mean(ab)
    covariance = mean(light * ab) - mean_light * mean_ab
    slope = covariance / (mean(light * light) - mean_light**2 + epsilon)
    return slope, mean_ab - slope * mean_light


def fit_lines(lightness, ab):
    """Slope and offset of every window, averaged over the windows of each pixel; and its range.

    lightness: (H, W) float32, L, NumPy. ab: (h, w, 2) float32, a and b, on any device. Both finite.
    Returns (h, w, 6) float32 on the same device: s of a and of b, o of a and of b, lo, hi.
    """
    xp, ab = array_module(ab), to_host(ab).astype(np.float64)
    h, w = ab.shape[:2]
    radii = [round(n * RADIUS) for n in (h, w)]
    boxes = [box_matrix(n, radius) for n, radius in zip((h, w), radii, strict=True)]
    light = np.asarray(Image.fromarray(lightness).resize((w, h), Image.Resampling.BOX))
    light = light.astype(np.float64)[..., None]
    lines = np.concatenate(window_lines(light, ab, boxes), axis=-1)
    lines = apply_matrices(boxes[0], lines[None], boxes[1])[0]
    lines = np.concatenate([lines, np.stack(window_range(light[..., 0], radii), axis=-1)], axis=-1)
    return xp.asarray(lines, dtype=np.float32)


def flat_lines(lightness, ab):
    """Lines as of `fit_lines` that know nothing of the photo: ab is enlarged bilinearly."""
    flat = array_module(ab).zeros_like(ab)
    return array_module(ab).concatenate([flat, ab, flat], axis=-1)


def enlarge(lines, lightness, rows=slice(None)):
    """ab at the photo's size, or some rows of it. Returns (rows, W, 2) float32 on lines' device.

    lines: from `fit_lines`. lightness: (H, W) float32, L, NumPy.
    """
    large = ops(lines).upsample(lines[None], lightness.shape, rows)[0]
    xp = array_module(lines)
    light = xp.asarray(lightness[rows])[..., None]
    light = xp.minimum(xp.maximum(light, large[..., 4:5]), large[..., 5:])
    return large[..., :2] * light + large[..., 2:4]
