"""Chapter 1, proven: known Lab values, exact round trips, clipping, float32 against float64."""

import warnings

import numpy as np
import pytest

from mini_colorize import color
from mini_colorize.color import lab_to_rgb, linear_to_srgb, rgb_to_lab, srgb_to_linear, to_byte
from mini_colorize.measures import colorfulness

# Lab, D65, 2 degree observer, of the eight corners of the sRGB cube and of two greys (published
# values; they hold to 0.01 whichever of the usual roundings of the matrix is taken).
KNOWN = {
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.73, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.19, -107.86),
    (255, 255, 0): (97.14, -21.55, 94.48),
    (0, 255, 255): (91.11, -48.09, -14.13),
    (255, 0, 255): (60.32, 98.23, -60.82),
    (255, 255, 255): (100, 0, 0),
    (0, 0, 0): (0, 0, 0),
    (128, 128, 128): (53.585, 0, 0),
    (10, 10, 10): (2.742, 0, 0),  # below the foot: 903.3 * (10 / 255 / 12.92)
}


def lattice(step):
    """8-bit sRGB colours on a lattice with both ends, (P, 3) uint8."""
    values = np.append(np.arange(0, 255, step), 255).astype(np.uint8)
    return np.stack(np.meshgrid(values, values, values, indexing="ij"), -1).reshape(-1, 3)


@pytest.mark.parametrize("rgb", KNOWN, ids=str)
def test_known_colours(rgb):
    lab = rgb_to_lab(np.array(rgb, np.uint8))
    np.testing.assert_allclose(lab, KNOWN[rgb], atol=0.01)
    np.testing.assert_allclose(rgb_to_lab(np.array(rgb) / 255), KNOWN[rgb], atol=0.01)


def test_the_srgb_curve():
    """IEC 61966-2-1: linear below 0.04045, a power above; 0.5 is 0.2140 of the light."""
    assert srgb_to_linear(0.5) == pytest.approx(((0.5 + 0.055) / 1.055) ** 2.4)
    assert srgb_to_linear(0.5) == pytest.approx(0.21404, abs=1e-5)
    assert srgb_to_linear(0.04) == pytest.approx(0.04 / 12.92)
    curve = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(curve)), curve, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_byte_survives_the_round_trip(dtype):
    rgb = np.concatenate([lattice(5), np.random.default_rng(0).integers(0, 256, (50000, 3))])
    lab = rgb_to_lab(rgb.astype(np.uint8)).astype(dtype)
    back = lab_to_rgb(lab)
    assert back.dtype == dtype
    np.testing.assert_array_equal(to_byte(back), rgb)


def test_bytes_and_floats_agree():
    rgb = lattice(17)
    exact = rgb_to_lab(rgb / 255)
    assert exact.dtype == np.float64
    for lab in (rgb_to_lab(rgb), rgb_to_lab((rgb / 255).astype(np.float32))):
        assert lab.dtype == np.float32
        np.testing.assert_allclose(lab, exact, atol=2e-5)


def test_lightness_alone_equals_that_of_lab():
    rgb = lattice(15).reshape(-1, 18, 3)
    for picture in (rgb, (rgb / 255).astype(np.float32), rgb / 255):
        lightness = color.rgb_to_lightness(picture)
        assert lightness.dtype == np.float32 and lightness.shape == picture.shape[:-1]
        np.testing.assert_allclose(lightness, rgb_to_lab(picture)[..., 0], atol=5e-5)


def test_lab_to_rgb_in_float32():
    lab = np.random.default_rng(0).uniform((0, -110, -110), (100, 110, 110), (20000, 3))
    close = lab_to_rgb(lab.astype(np.float32))
    assert close.dtype == np.float32
    # Near 0 the curve is steep: 12.92 times the rounding of a light that is cut at 0.
    np.testing.assert_allclose(close, lab_to_rgb(lab), atol=2e-5)


def test_colours_out_of_the_gamut_are_clipped():
    lab = np.array([[50, 120, 0], [50, -128, 127], [0, 100, -100], [100, 0, 100], [120, 0, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rgb = lab_to_rgb(lab.astype(np.float64))
    assert rgb.min() == 0 and rgb.max() == 1
    np.testing.assert_array_equal(rgb[4], [1, 1, 1])  # whiter than white
    assert rgb[0, 1] == 0 and rgb[1, 0] == 0  # no green in that red, no red in that green


def test_blue_beyond_the_end_of_f_by_hand():
    """L = 50, a = 0, b = 127: fy = 66/116 = 0.568966, so Y = 0.184187, X = 0.95047 Y = 0.175064.
    fz = fy - 127/200 < 0 is taken as 0, on the line: Z = 1.08883 (0 - 16/116) / 7.787 = -0.019286.
    R =  3.240479 X - 1.537150 Y - 0.498535 Z = 0.293784, sRGB 1.055 R^(1/2.4) - 0.055 = 0.578282
    G = -0.969256 X + 1.875992 Y + 0.041556 Z = 0.175050, sRGB 0.455391; B < 0, clipped.
    """
    rgb = lab_to_rgb(np.array([50.0, 0, 127]))
    np.testing.assert_allclose(rgb, [0.578282, 0.455391, 0], atol=1e-5)


def test_to_byte_rounds():
    levels = np.array([0, 0.4, 0.6, 127.4, 127.6, 254.6, 255])
    np.testing.assert_array_equal(to_byte(levels / 255), [0, 0, 1, 127, 128, 255, 255])


def test_colorfulness():
    assert colorfulness(np.full((4, 5, 3), 77, np.uint8)) == 0
    # Half red, half green: rg = +-255, yb = 127.5. So deviations (255, 0), means (0, 127.5):
    # 255 + 0.3 * 127.5 = 293.25.
    picture = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    assert colorfulness(picture) == pytest.approx(293.25)
    assert colorfulness(picture / 255) == pytest.approx(293.25)
    # Half (200, 100, 0), half grey: rg = 100, 0 -> mean 50, deviation 50; yb = 150, 0 -> 75, 75.
    # hypot(50, 75) = 90.13878, times 1.3 = 117.18041.
    picture = np.array([[[200, 100, 0], [90, 90, 90]]], np.uint8)
    assert colorfulness(picture) == pytest.approx(117.18041, abs=1e-4)
