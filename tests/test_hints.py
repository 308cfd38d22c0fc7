"""A person's hints, and the pixels that follow them."""

import numpy as np
import pytest
from photographs import smooth

from mini_colorize import hints
from mini_colorize.backend import to_host
from mini_colorize.colorizer import lightness_of
from mini_colorize.hints import NOISE, R, S, T, follow, place


@pytest.fixture
def given():
    """Lightness, logits and ab as a network may have them."""
    rng = np.random.default_rng(0)
    lightness = lightness_of(np.asarray(smooth(rng, (80, 60))))
    logits = rng.standard_normal((12, 16, 313)).astype(np.float32)
    return lightness, logits, rng.uniform(-40, 40, (12, 16, 2)).astype(np.float32)


def at(ab, u, v):
    return ab[place(ab.shape, u, v)]


def test_the_equation(given):
    """Pixel by pixel, in float64."""
    lightness, logits, ab = given
    chosen = [(0.1, 0.2, 30, 40), (0.9, 0.5, -20, 10), (0.4, 0.95, 0, -60)]
    light = lightness.reshape(12, 5, 16, 5).mean(axis=(1, 3), dtype=np.float64)
    z = np.exp(logits.astype(np.float64))
    z /= z.sum(axis=-1, keepdims=True)

    def alike(x, y):
        near = ((x[0] - y[0]) / 12) ** 2 + ((x[1] - y[1]) / 16) ** 2
        hellinger = 2 - 2 * np.sqrt(z[x] * z[y]).sum()
        return np.exp(
            -near / 2 / S**2 - (light[x] - light[y]) ** 2 / 2 / T**2 - hellinger / 2 / R**2
        )

    places = [place(ab.shape, u, v) for u, v, _, _ in chosen]
    matrix = np.array([[alike(x, y) for y in places] for x in places]) + NOISE * np.eye(3)
    residual = np.array([hint[2:] for hint in chosen]) - [ab[x] for x in places]
    weight = np.linalg.inv(matrix) @ residual
    wanted = np.empty((12, 16, 2))
    for x in np.ndindex(12, 16):
        wanted[x] = ab[x] + np.array([alike(x, y) for y in places]) @ weight
    made = follow(ab, chosen, lightness, logits)
    assert made.dtype == np.float32 and abs(made - wanted).max() < 1e-3


def test_without_hints_nothing_changes(given):
    lightness, logits, ab = given
    assert follow(ab, (), lightness, logits) is ab


def test_a_hint_is_what_appears_and_a_hint_of_what_is_there_pins_it(given):
    lightness, logits, ab = given
    before = ab.copy()
    for beliefs in (logits, None):
        made = follow(ab, [(0.3, 0.6, 50, -50)], lightness, beliefs)
        assert abs(at(made, 0.3, 0.6) - (50, -50)).max() < 3
    there = at(ab, 0.8, 0.8)
    both = follow(ab, [(0.8, 0.8, *there), (0.7, 0.8, 90, 90)], lightness)
    assert abs(at(both, 0.8, 0.8) - there).max() < abs(at(both, 0.7, 0.8) - at(ab, 0.7, 0.8)).max()
    assert abs(follow(ab, [(0.8, 0.8, *there)], lightness) - ab).max() < 1e-5
    assert (ab == before).all()


def test_pixels_that_have_nothing_in_common_with_it_are_left_alone():
    """Left and right of the picture the network believes in other colours."""
    logits = np.full((8, 8, 313), -50, np.float32)
    logits[:, :4, 7] = logits[:, 4:, 200] = 50
    ab, lightness = np.zeros((8, 8, 2), np.float32), np.full((32, 32), 50, np.float32)
    made = follow(ab, [(0.4, 0.5, 100, 100)], lightness, logits)
    assert made[:, :4].min() > 50 and abs(made[:, 4:]).max() < 0.01
    dark = lightness.copy()
    dark[16:] = 0  # nor does a colour go from the light to the dark
    light, dark = (follow(ab, [(0.4, 0.4, 99, 99)], light)[5, 3, 0] for light in (lightness, dark))
    assert dark < 0.15 * light


def test_of_several_hints_on_one_pixel_the_last_counts(given):
    lightness, logits, ab = given
    one, other, third = (0.33, 0.61, 9, 9), (0.32, 0.62, -70, 40), (0.9, 0.1, 50, 0)
    made = follow(ab, [one, third, other], lightness, logits)
    assert (made == follow(ab, [other, third], lightness, logits)).all()
    assert abs(made - follow(ab, [third, other], lightness, logits)).max() < 1e-4


def test_a_hundred_hints_that_contradict_each_other(given):
    """On pixels that are hardly to be told apart."""
    _, logits, ab = given
    logits, ab = np.zeros((64, 64, 313), np.float32), np.zeros((64, 64, 2), np.float32)
    lightness = np.full((64, 64), 50, np.float32)
    rng = np.random.default_rng(1)
    uv, colors = rng.uniform(0.4, 0.6, (100, 2)), rng.uniform(-110, 110, (100, 2))
    for beliefs in (logits, None):
        made = follow(ab, np.hstack([uv, colors]).tolist(), lightness, beliefs)
        assert np.isfinite(made).all() and abs(made).max() < 110
    equal = follow(ab, np.hstack([uv, 0 * colors + 40]).tolist(), lightness, logits)
    assert abs(equal[26:38, 26:38] - 40).max() < 1


def test_on_a_gpu(given, gpu):
    lightness, logits, ab = given
    chosen = [(0.1, 0.2, 30, 40), (0.9, 0.5, -20, 10)]
    there = follow(gpu.asarray(ab), chosen, lightness, gpu.asarray(logits))
    assert isinstance(there, gpu.ndarray)
    assert (to_host(there) == follow(ab, chosen, lightness, logits)).all()


def test_edges_and_extreme_logits():
    lightness = np.zeros((1, 1), np.float32)
    logits = np.array([[[-1e30] * 312 + [1e30]]], np.float32)
    made = follow(np.zeros((1, 1, 2), np.float32), [(1, 1, 50, 50)], lightness, logits)
    assert made == pytest.approx(50 / (1 + NOISE))
    assert hints.place((3, 5, 2), 1, 1) == (2, 4) and hints.place((3, 5), 0, 0) == (0, 0)
