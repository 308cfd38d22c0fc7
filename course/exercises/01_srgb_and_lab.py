"""Chapter 1: sRGB and Lab. Check your answers with: python -m course 1

Given are the constants; white is D65, what a screen shows for R = G = B = 1.
"""

import numpy as np

XYZ_FROM_RGB = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def rgb_to_lab(rgb):
    """Lab of sRGB.

    rgb: (H, W, 3) float64, 0..1. Returns (H, W, 3): L 0..100, a, b.

        linear = rgb / 12.92  up to 0.04045, above it ((rgb + 0.055) / 1.055)^2.4
        (X, Y, Z) = XYZ_FROM_RGB (R, G, B), of linear light; then each over that of white
        f(t) = 7.787 t + 16/116  up to t = 0.008856, above it the cube root of t
        L = 116 f(Y) - 16     a = 500 (f(X) - f(Y))     b = 200 (f(Y) - f(Z))
    """
    raise NotImplementedError


def lab_to_rgb(lab):
    """sRGB of Lab: every step of rgb_to_lab undone, the last one first; clipped to 0..1.

    lab: (H, W, 3) float64. Returns (H, W, 3).
    f = 16/116 + 7.787 * 0.008856 = 0.2068966 is the other side of f's threshold, 0.0031308 that of
    the sRGB curve.
    """
    raise NotImplementedError


def in_gamut(lab):
    """Which colours sRGB can show: those that need no clipping.

    lab: (H, W, 3) float64. Returns (H, W) bool.
    """
    raise NotImplementedError
