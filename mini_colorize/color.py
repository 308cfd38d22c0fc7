"""Chapter 1: sRGB <-> CIE Lab.

The network is given lightness L and must say the two colour coordinates a and b. Lab is the
space for it because equal distances in Lab look about equally different to people, and because
L is exactly what a grey photograph has.

Notation
    R, G, B   sRGB, 0..1 (or uint8 0..255)      X, Y, Z   CIE 1931, 2 degree observer
    L         lightness, 0 (black) .. 100       a, b      green-red (-86 .. 98 in sRGB),
                                                          blue-yellow (-108 .. 94)
    f         the cube root with a linear foot: t^(1/3) above (6/29)^3 = 0.008856, below it the
              tangent there, 7.787 t + 16/116, of slope 7.787 = (29/6)^2 / 3

    L = 116 f(Y) - 16     a = 500 (f(X) - f(Y))     b = 200 (f(Y) - f(Z))     X, Y, Z over white's

White is D65. Sources: IEC 61966-2-1 for sRGB, CIE 15:2004 (section 8.2.1) for Lab; matrix, white
and the rounded constants are scikit-image's, so that results can be compared (white itself has an a
of -0.002 and a b of 0.005 by them).
"""

import numpy as np

XYZ_FROM_RGB = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
RGB_FROM_XYZ = np.linalg.inv(XYZ_FROM_RGB)
WHITE = np.array([0.95047, 1.0, 1.08883])  # D65

XYZ_OVER_WHITE = XYZ_FROM_RGB / WHITE[:, None]
LINEAR_FROM_XYZ = RGB_FROM_XYZ * WHITE

FOOT = 0.008856  # where f changes from a line to the cube root, on the XYZ side
FOOT_ROOT = 0.2068966  # the same place on the other side of f: 6/29

EVERY = slice(2, None, 4)  # the colours asked for are those at (2, 2) of every 4 x 4 pixels


def srgb_to_linear(rgb):
    """Undo the sRGB curve. rgb: float, 0..1, any shape. Returns linear light, same shape."""
    return np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)


def linear_to_srgb(linear):
    """Apply the sRGB curve. linear: float, 0..1, any shape. Returns sRGB, same shape."""
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, linear * 12.92)


LINEAR_FROM_BYTE = srgb_to_linear(np.arange(256) / 255)


def _linear(rgb, dtype):
    """Linear light of sRGB given as uint8 (by table) or as float."""
    if rgb.dtype == np.uint8:
        return LINEAR_FROM_BYTE.astype(dtype)[rgb]
    return srgb_to_linear(rgb.astype(dtype))


def _f(t):
    return np.where(t > FOOT, np.cbrt(t), 7.787 * t + 16 / 116)


def rgb_to_lab(rgb):
    """sRGB to Lab.

    rgb: (..., 3), uint8 0..255 or float 0..1.
    Returns (..., 3), float64 for float64, else float32: L 0..100, a, b. Computed in float64: a is
    500 times a difference of two numbers near 1, where float32 would leave errors of 1e-4.
    """
    fxyz = _f(_linear(rgb, np.float64) @ XYZ_OVER_WHITE.T)
    fx, fy, fz = fxyz[..., 0], fxyz[..., 1], fxyz[..., 2]
    lab = np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)
    return lab if rgb.dtype == np.float64 else lab.astype(np.float32)


def rgb_to_lightness(rgb):
    """Only the L of rgb_to_lab, in float32, for a fraction of the work.

    rgb: (..., 3), uint8 or float 0..1. Returns (...), float32: L, 0..100.
    """
    y = _linear(rgb, np.float32) @ XYZ_FROM_RGB[1].astype(np.float32)
    return 116 * _f(y) - 16


def crops_to_lab(rgb):
    """What the network is given and what it is asked for.

    rgb: (N, H, W, 3) uint8, H and W multiples of 4. Returns x (N, H, W, 1) float32, the lightness
    as the network wants it, (L - 50) / 100; and ab (N, H/4, W/4, 2) float32, the colours at one
    pixel of every 4 x 4, next to the middle.
    """
    x = normalize_lightness(rgb_to_lightness(rgb))[..., None]
    return x, np.ascontiguousarray(rgb_to_lab(rgb[:, EVERY, EVERY])[..., 1:])


def normalize_lightness(lightness):
    """L, 0..100, as the network wants it: (L - 50) / 100."""
    return (lightness - 50) / 100


def lab_to_rgb(lab):
    """Lab to sRGB. What lies outside the sRGB gamut is clipped to 0..1 at the end; before that an
    f(Z) or linear light below 0 becomes 0, of which there is no power.

    lab: (..., 3), float. Returns (..., 3), the same dtype: sRGB, 0..1.
    """
    fy = (lab[..., 0] + 16) / 116
    fxyz = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    fxyz[..., 2] = np.maximum(fxyz[..., 2], 0)  # b far out of gamut; so does scikit-image
    xyz = np.where(fxyz > FOOT_ROOT, fxyz**3, (fxyz - 16 / 116) / 7.787)
    linear = xyz @ LINEAR_FROM_XYZ.T.astype(lab.dtype)
    return np.clip(linear_to_srgb(np.maximum(linear, 0)), 0, 1)


def to_byte(rgb):
    """sRGB 0..1, float, to uint8 0..255, rounded. Any shape."""
    return np.rint(rgb * 255).astype(np.uint8)
