"""Enlarging ab along edges, against the windows of scipy.ndimage."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

from mini_colorize.guided import EPSILON, enlarge, fit_lines
from mini_colorize.layers.upsample import upsample


def photo(height, width, seed=0):
    """L of a smooth picture, (H, W) float32 in 20..80."""
    patches = np.random.default_rng(seed).uniform(20, 80, (5, 6)).astype(np.float32)
    return np.asarray(Image.fromarray(patches).resize((width, height), Image.Resampling.BILINEAR))


def smooth_ab(h, w, seed=0):
    return np.stack([photo(h, w, seed + i) - 50 for i in (1, 2)], axis=-1)


def means(x, radii):
    """Of the window around each pixel, as far as it lies in the picture. x: (H, W)."""
    sides = 2 * np.array(radii) + 1
    inside = [uniform_filter(a, sides, mode="constant") for a in (x, np.ones(x.shape))]
    return inside[0] / inside[1]


def ranges(x, radii):
    """The least and the greatest number in the window around each pixel."""
    return [f(x, 2 * np.array(radii) + 1, mode="nearest") for f in (minimum_filter, maximum_filter)]


@pytest.mark.parametrize("size, radii", [((16, 24), (1, 2)), ((40, 33), (2, 2))])
def test_lines_are_the_least_squares(size, radii):
    """Slope and offset with the ridge EPSILON in every window, then the mean of a pixel's lines."""
    lightness, ab = photo(4 * size[0], 4 * size[1]), smooth_ab(*size)
    light = lightness.reshape(size[0], 4, size[1], 4).mean(axis=(1, 3), dtype=np.float64)
    lines, centre = fit_lines(lightness, ab), means(light, radii)
    variance = means(light**2, radii) - centre**2
    for c in (0, 1):
        colour = ab[..., c].astype(np.float64)
        covariance = means(light * colour, radii) - centre * means(colour, radii)
        slope = covariance / (variance + EPSILON)
        offset = means(colour, radii) - slope * centre
        expected = means(slope, radii), means(offset, radii)
        found = lines[..., [c, 2 + c]]
        np.testing.assert_allclose(found, np.dstack(expected), atol=2e-4, rtol=1e-5)
        assert abs(expected[0]).max() > 0.3
    assert lines.dtype == np.float32
    np.testing.assert_allclose(lines[..., 4:], np.dstack(ranges(light, radii)), rtol=1e-6)


def test_colour_that_is_a_line_in_lightness_gets_its_edges():
    """A hard edge in L, ab = L - 50: bilinear blurs it over 8 pixels, the fit keeps it."""
    lightness = np.full((128, 128), 20, np.float32)
    lightness[:, 66:] = 80
    ab = np.repeat(lightness.reshape(32, 4, 32, 4).mean(axis=(1, 3))[..., None] - 50, 2, axis=-1)
    large = enlarge(fit_lines(lightness, ab), lightness)
    truth = np.repeat(lightness[..., None] - 50, 2, axis=-1)
    blurred = upsample(ab[None], (128, 128))[0]
    assert abs(large - truth)[:, 60:72].max() < 5 < 25 < abs(blurred - truth)[:, 60:72].max()


def test_flat_lightness_gives_the_mean_of_means():
    lightness, ab = np.full((64, 96), 50, np.float32), smooth_ab(16, 24)
    lines = fit_lines(lightness, ab)
    assert abs(lines[..., :2]).max() < 1e-4
    large = enlarge(lines, lightness)
    assert large.shape == (64, 96, 2) and large.dtype == np.float32
    blurred = np.dstack([means(means(ab[..., c], (1, 2)), (1, 2)) for c in (0, 1)])
    expected = upsample(blurred[None], (64, 96))[0]
    np.testing.assert_allclose(large, expected, atol=1e-3)


def test_a_scratch_gets_no_colour_of_its_own():
    """White and black hairlines across a weak edge, far beyond the L of the fit."""
    lightness = np.full((128, 128), 46, np.float32)
    lightness[:, 64:] = 54
    light = lightness.reshape(32, 4, 32, 4).mean(axis=(1, 3))
    ab = np.repeat(light[..., None] * 5 - 250, 2, axis=-1)
    lines = fit_lines(lightness, ab)
    lightness[40], lightness[80] = 100, 0
    assert abs(enlarge(lines, lightness)).max() < 1.05 * abs(ab).max()


def test_a_small_ab_has_no_windows():
    lightness, ab = photo(50, 37), smooth_ab(8, 8)
    bilinear = upsample(ab[None], (50, 37))[0]
    np.testing.assert_allclose(enlarge(fit_lines(lightness, ab), lightness), bilinear, atol=1e-4)
