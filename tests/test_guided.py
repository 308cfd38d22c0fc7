"""Enlarging ab along edges, against loops over pixels and windows."""

import numpy as np
import pytest
from PIL import Image

from mini_colorize.guided import EPSILON, box_matrix, enlarge, fit_lines, window_range
from mini_colorize.layers.upsample import upsample


def photo(height, width, seed=0):
    """L of a smooth picture, (H, W) float32 in 20..80."""
    patches = np.random.default_rng(seed).uniform(20, 80, (5, 6)).astype(np.float32)
    return np.asarray(Image.fromarray(patches).resize((width, height), Image.Resampling.BILINEAR))


def smooth_ab(h, w, seed=0):
    return np.stack([photo(h, w, seed + i) - 50 for i in (1, 2)], axis=-1)


def naive_lines(light, ab, radius):
    """Slope and offset by least squares with the ridge EPSILON, window by window, in loops."""
    h, w = light.shape
    own = np.zeros((h, w, 4))

    def window(y, x):
        return (
            slice(max(0, y - radius[0]), y + radius[0] + 1),
            slice(max(0, x - radius[1]), x + radius[1] + 1),
        )

    for y in range(h):
        for x in range(w):
            part = window(y, x)
            centre = light[part].mean()
            d = light[part] - centre
            for c in (0, 1):
                # the s that minimises sum of (ab - s d - mean ab)^2 + n EPSILON s^2
                values = ab[part][..., c]
                s = (d * (values - values.mean())).sum() / ((d * d).sum() + d.size * EPSILON)
                own[y, x, c], own[y, x, 2 + c] = s, values.mean() - s * centre
    return np.array([[own[window(y, x)].mean(axis=(0, 1)) for x in range(w)] for y in range(h)])


@pytest.mark.parametrize("size, radius", [((16, 24), (1, 2)), ((40, 33), (2, 2))])
def test_lines_are_the_naive_ones(size, radius):
    lightness, ab = photo(4 * size[0], 4 * size[1]), smooth_ab(*size)
    light = lightness.reshape(size[0], 4, size[1], 4).mean(axis=(1, 3), dtype=np.float64)
    expected = naive_lines(light, ab.astype(np.float64), radius)
    lines = fit_lines(lightness, ab)
    assert lines.dtype == np.float32 and abs(expected[..., :2]).max() > 0.3
    np.testing.assert_allclose(lines[..., :4], expected, atol=2e-4, rtol=1e-5)
    for (y, x), (low, high) in (((0, 0), lines[0, 0, 4:]), ((9, 7), lines[9, 7, 4:])):
        rows = slice(max(0, y - radius[0]), y + radius[0] + 1)
        part = light[rows, max(0, x - radius[1]) : x + radius[1] + 1]
        np.testing.assert_allclose([low, high], [part.min(), part.max()], rtol=1e-6)


def test_box_matrix():
    expected = [
        [1 / 2, 1 / 2, 0, 0],
        [1 / 3, 1 / 3, 1 / 3, 0],
        [0, 1 / 3, 1 / 3, 1 / 3],
        [0, 0, 1 / 2, 1 / 2],
    ]
    np.testing.assert_allclose(box_matrix(4, 1), expected)
    np.testing.assert_array_equal(box_matrix(5, 0), np.eye(5))


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
    rows, columns = (m @ m for m in (box_matrix(16, 1), box_matrix(24, 2)))
    blurred = np.einsum("ij,jkc,lk->ilc", rows, ab.astype(np.float64), columns)
    expected = upsample(blurred[None], (64, 96))[0]
    np.testing.assert_allclose(large, expected, atol=1e-3)


def test_a_scratch_gets_no_colour_of_its_own():
    """White and black hairlines across a weak edge, far beyond the L of the fit."""
    lightness = np.full((128, 128), 46, np.float32)
    lightness[:, 64:] = 54
    ab = np.repeat(
        lightness.reshape(32, 4, 32, 4).mean(axis=(1, 3))[..., None] * 5 - 250, 2, axis=-1
    )
    lines = fit_lines(lightness, ab)
    lightness[40], lightness[80] = 100, 0
    assert abs(enlarge(lines, lightness)).max() < 1.05 * abs(ab).max()


def test_a_small_ab_has_no_windows():
    lightness, ab = photo(50, 37), smooth_ab(8, 8)
    bilinear = upsample(ab[None], (50, 37))[0]
    np.testing.assert_allclose(enlarge(fit_lines(lightness, ab), lightness), bilinear, atol=1e-4)


@pytest.mark.parametrize("radii", [(0, 0), (1, 3), (4, 0)])
def test_the_range_of_windows(radii):
    x = np.random.default_rng(0).uniform(size=(9, 12))
    least, greatest = window_range(x, radii)
    for y in range(9):
        for z in range(12):
            rows = slice(max(0, y - radii[0]), y + radii[0] + 1)
            window = x[rows, max(0, z - radii[1]) : z + radii[1] + 1]
            assert (least[y, z], greatest[y, z]) == (window.min(), window.max())


def test_rows_are_part_of_the_whole():
    lightness, ab = photo(61, 83), smooth_ab(16, 16)
    lines = fit_lines(lightness, ab)
    rows = enlarge(lines, lightness, slice(17, 42))
    np.testing.assert_allclose(rows, enlarge(lines, lightness)[17:42], atol=1e-4)
