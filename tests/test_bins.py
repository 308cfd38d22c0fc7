"""Chapter 2, proven: the 313 bins, soft-encoding, class weights, annealed mean, value by value.

Soft-encoding is compared with scipy's neighbours, and once worked out by hand: a wrong sigma or a
wrong K would hide behind weights that still sum to 1.
"""

import warnings
from math import exp, log

import numpy as np
import pytest
import scipy.spatial
import scipy.special
from scipy.ndimage import binary_dilation

from mini_colorize import bins
from mini_colorize.bins import BINS, Q, annealed_mean, class_weights, soft_encode
from mini_colorize.color import rgb_to_lab
from mini_colorize.fast import bins as fast


def at(a, b):
    """Index of the bin (a, b)."""
    (found,) = np.flatnonzero((BINS == (a, b)).all(axis=1))
    return int(found)


# The bins -----------------------------------------------------------------------------------------


def test_the_bins_are_the_authors():
    """Lowest b and count of each row of a, and some entries of pts_in_hull.npy by index."""
    assert Q == len(BINS) == 313
    a, first, count = np.unique(BINS[:, 0], return_index=True, return_counts=True)
    np.testing.assert_array_equal(a, np.arange(-90, 101, 10))
    lowest = [50, 20, 0, -20, -30, -40, -50, -50, -60, -70]
    lowest += [-80, -80, -90, -100, -100, -110, -110, -110, -110, -90]
    counts = [5, 8, 10, 12, 14, 15, 16, 16, 17, 18, 18, 18, 19, 20, 19, 20, 20, 19, 19, 10]
    np.testing.assert_array_equal(BINS[first, 1], lowest)
    np.testing.assert_array_equal(count, counts)
    index = [0, 4, 5, 112, 113, 120, 139, 224, 225, 302, 303, 312]
    a = [-90, -90, -80, -10, 0, 0, 10, 50, 60, 90, 100, 100]
    b = [50, 90, 20, 100, -70, 0, 0, 80, -110, 70, -90, 0]
    np.testing.assert_array_equal(BINS[index], np.stack([a, b], axis=1))


def test_the_bins_are_ordered_and_without_holes():
    keys = BINS[:, 0] * 1000 + BINS[:, 1]
    assert (np.diff(keys) > 0).all()
    for a in np.unique(BINS[:, 0]):
        assert (np.diff(BINS[BINS[:, 0] == a, 1]) == 10).all()


def test_why_313():
    """All 16.7 million sRGB colours round to 261 of the bins; the other 52 touch one of these."""
    table = np.zeros((40, 40), bool)  # by ab / 10 + 20
    g, b = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    for r in range(256):
        rgb = np.stack([np.full_like(g, r), g, b], axis=-1)
        cell = np.rint(rgb_to_lab(rgb)[..., 1:] / 10).astype(int).reshape(-1, 2) + 20
        table[cell[:, 0], cell[:, 1]] = True
    known = np.zeros_like(table)
    cells = (BINS / 10).astype(int) + 20
    known[cells[:, 0], cells[:, 1]] = True
    assert table.sum() == 261
    assert not (table & ~known).any()
    assert not (known & ~binary_dilation(table, np.ones((3, 3)))).any()


# Soft-encoding ------------------------------------------------------------------------------------

FIVES = np.arange(-130, 131, 5.0)
POINTS = {
    "random": np.random.default_rng(0).uniform(-129.9, 129.9, (500, 2)),
    "in the gamut": np.random.default_rng(1).uniform(-60, 60, (500, 2)),
    "on the bins": BINS.astype(np.float64),
    "ties": np.stack(np.meshgrid(FIVES, FIVES), -1).reshape(-1, 2)[::2],
    "out of range": np.array([[150, 0], [-150, 150], [0, -150], [130, 130], [-130, 9], [1e4, 3]]),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 5, 10])
@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS)
def test_soft_encode_equals_scipys_neighbours(points, k, dtype):
    """Of bins that are equally near, those of the lowest index."""
    points = points.astype(dtype)
    index, weight = soft_encode(points, k) if k != 5 else soft_encode(points)
    # So many that all of those are among them: at most 12, and 16 at the edge of the bins.
    distance, near = scipy.spatial.cKDTree(BINS).query(points, k=k + 24)
    order = np.lexsort((near, np.rint(distance**2 * 1e6)))[:, :k]
    true_index, d2 = (np.take_along_axis(a, order, 1) for a in (near, distance**2))
    np.testing.assert_array_equal(index, true_index)
    z = np.exp((d2[:, :1] - d2) / (2 * 5**2))
    np.testing.assert_allclose(weight, z / z.sum(axis=1, keepdims=True), rtol=1e-6, atol=1e-38)
    assert index.dtype == np.int32 and weight.dtype == np.float32


def test_soft_encode_by_hand():
    """(0, 0): d^2 = 0, then 100 four times, in order of index, that is by a, then b. Weights are
    exp(-d^2 / 50): 1, e^-2 = 0.135335 x 4, over their sum 1.541341.
    With k = 2, sigma = 10: 1 and e^-1/2 over 1.606531."""
    index, weight = soft_encode(np.zeros(2))
    nearest = [(0, 0), (-10, 0), (0, -10), (0, 10), (10, 0)]
    assert [tuple(BINS[i]) for i in index] == nearest
    np.testing.assert_allclose(weight, [0.648786] + [0.087804] * 4, atol=1e-6)
    index, weight = soft_encode(np.zeros((1, 2)), k=2, sigma=10)
    np.testing.assert_array_equal(index, [[at(0, 0), at(-10, 0)]])
    np.testing.assert_allclose(weight, [[0.622459, 0.377541]], atol=1e-6)


def test_soft_encode_keeps_the_shape_and_chunks_change_nothing(monkeypatch):
    ab = np.random.default_rng(0).uniform(-100, 100, (2, 3, 5, 2)).astype(np.float32)
    index, weight = soft_encode(ab)
    assert index.shape == weight.shape == (2, 3, 5, 5)
    monkeypatch.setattr(fast, "CHUNK", 7)
    parts = fast.soft_encode(ab)
    np.testing.assert_array_equal(parts[0], index)
    np.testing.assert_allclose(parts[1], weight, rtol=1e-6)


def test_dense_target():
    index = np.array([[[3, 1]], [[0, 4]]], np.int32)
    weight = np.array([[[0.75, 0.25]], [[0.5, 0.5]]], np.float32)
    z = bins.dense_target(index, weight, q=5)
    np.testing.assert_array_equal(z, [[[0, 0.25, 0, 0.75, 0]], [[0.5, 0, 0, 0, 0.5]]])
    assert bins.dense_target(*soft_encode(np.zeros((2, 2)))).shape == (2, 313)


def test_target_entropy():
    """ln 2 and 0, and a pixel that does not count: the mean of two."""
    weight = np.array([[0.5, 0.5, 0], [1, 0, 0], [0, 0, 0]], np.float32)
    assert bins.target_entropy(weight) == pytest.approx(log(2) / 2)
    # Of (0, 0), by the table above: -(p ln p + 4 q ln q) = ln 1.541341 + 4 q * 2.
    _, weight = soft_encode(np.zeros((4, 2)))
    expected = log(1 + 4 * exp(-2)) + 8 * 0.0878037
    assert bins.target_entropy(weight) == pytest.approx(expected, rel=1e-5)
    assert bins.target_entropy(np.zeros((3, 5))) == 0


# Prior and class weights --------------------------------------------------------------------------


def test_bin_mass():
    index = np.array([[3, 1], [3, 312], [0, 1]], np.int32)
    weight = np.array([[0.75, 0.25], [0.5, 0.5], [0, 0]], np.float32)
    mass = bins.bin_mass(index, weight)
    assert mass.shape == (313,) and mass.dtype == np.float64
    assert {int(q): mass[q] for q in np.flatnonzero(mass)} == {1: 0.25, 3: 1.25, 312: 0.5}


def test_class_weights_by_hand():
    """p = (0.7, 0.2, 0.1), lambda = 1/2, Q = 3:
    p / 2 + 1/6 = 0.516667, 0.266667, 0.216667; inverse 1.935484, 3.75, 4.615385;
    their mean under p is 1.354839 + 0.75 + 0.461538 = 2.566377; divided by it."""
    w = class_weights(np.array([0.7, 0.2, 0.1]))
    np.testing.assert_allclose(w, [0.754170, 1.461204, 1.798405], atol=2e-6)
    assert w.dtype == np.float32


@pytest.mark.parametrize("lam", [0, 0.01, 0.5, 0.9, 1])
def test_class_weights_have_expectation_one(lam):
    """At 0 every bin adds the same to the loss; at 1 all weights are 1."""
    prior = np.random.default_rng(0).exponential(size=Q) ** 3
    prior /= prior.sum()
    w = class_weights(prior, lam).astype(np.float64)
    assert (prior * w).sum() == pytest.approx(1, rel=1e-6)
    product = w * ((1 - lam) * prior + lam / Q)  # w is inverse to the mixture: a constant
    np.testing.assert_allclose(product, product[0], rtol=1e-6)
    assert lam < 1 or (w == 1).all()


def test_class_weights_errors():
    """A wrong sum, less than 0, no number, two axes; a bin without colour and lambda 0."""
    priors = [0.5, 0.5, 0.5], [1.5, -0.5], [float("nan"), 1], [[0.5, 0.5]]
    for prior, lam in [*((prior, 0.5) for prior in priors), ([1.0, 0.0], 0)]:
        with pytest.raises(ValueError):
            class_weights(np.array(prior), lam)


# Annealed mean ------------------------------------------------------------------------------------


@pytest.fixture
def logits():
    return np.random.default_rng(0).standard_normal((2, 3, 5, Q))


def test_annealed_mean_by_hand():
    """Two bins, (0, 0) ahead of (10, 0) by 0.38 ln 3: at T = 0.38 they are 3 to 1, so a = 2.5.
    At T = 1 they are 3^0.38 = 1.518120 to 1, so a = 10 / 2.518120 = 3.971217."""
    logits = np.full((1, Q), -1e4)
    logits[0, at(0, 0)], logits[0, at(10, 0)] = 0.38 * log(3), 0
    np.testing.assert_allclose(annealed_mean(logits), [[2.5, 0]], atol=1e-12)
    np.testing.assert_allclose(annealed_mean(logits, 0.38), [[2.5, 0]], atol=1e-12)
    np.testing.assert_allclose(annealed_mean(logits, 1), [[3.971217, 0]], atol=1e-6)


@pytest.mark.parametrize("temperature", [0.1, 0.38, 1, 3])
def test_annealed_mean_equals_the_formula(logits, temperature):
    truth = scipy.special.softmax(logits / temperature, axis=-1) @ BINS.astype(np.float64)
    np.testing.assert_allclose(annealed_mean(logits, temperature), truth, atol=1e-11)
    close = annealed_mean(logits.astype(np.float32), temperature)
    assert close.dtype == np.float32
    np.testing.assert_allclose(close, truth, atol=2e-4)


def test_temperature_zero_is_the_mode_and_ties_go_to_the_lowest_bin(logits):
    np.testing.assert_array_equal(annealed_mean(logits, 0), BINS[logits.argmax(-1)])
    logits[0, 0, 0, [40, 200, 300]] = 99
    np.testing.assert_array_equal(annealed_mean(logits, 0)[0, 0, 0], BINS[40])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [1e-5, 1e-20, 1e-44, 1e-50, 1e-310])
def test_a_tiny_temperature_is_the_mode(logits, temperature, dtype):
    logits = logits.astype(dtype)
    np.testing.assert_array_equal(annealed_mean(logits, temperature), BINS[logits.argmax(-1)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [0, 1e-6, 0.38, 1])
def test_extreme_logits(temperature, dtype):
    logits = np.full((2, Q), -1e4, dtype)
    logits[0, 7], logits[1, 9] = 1e4, 1e4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(annealed_mean(logits, temperature), BINS[[7, 9]])


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_annealed_mean_errors(logits, temperature):
    with pytest.raises(ValueError, match="temperature"):
        annealed_mean(logits, temperature)


def test_annealed_mean_leaves_its_input_and_chunks_change_nothing(logits, monkeypatch):
    kept = logits.copy()
    whole = annealed_mean(logits)
    np.testing.assert_array_equal(logits, kept)
    monkeypatch.setattr(fast, "CHUNK", 4)
    np.testing.assert_allclose(fast.annealed_mean(logits), whole, rtol=1e-12)
    np.testing.assert_array_equal(logits, kept)
