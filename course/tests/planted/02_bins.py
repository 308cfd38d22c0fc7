"""Wrong answers that students give to chapter 2. The docstring: exercise, and what is to be said."""

import itertools

import numpy as np

from mini_colorize.bins import BINS


def _around(ab, step, reach, cut, places):
    grid = np.zeros((2 * reach + 1,) * 2, dtype=bool)
    for a, b in ab:
        for i, j in places:
            grid[int(cut(a / step)) + reach + i, int(cut(b / step)) + reach + j] = True
    return grid


SQUARE = list(itertools.product((0, 1), (0, 1)))


def rounded_to_the_nearest(ab, step, reach):
    """corner_bins: only the nearest bin of each colour is marked"""
    return _around(ab, step, reach, round, [(0, 0)])


def floor_alone(ab, step, reach):
    """corner_bins: only the corner below (floor) is marked"""
    grid = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=int)
    i, j = (ab // step).astype(int).T
    grid[i + reach, j + reach] = 1
    return grid


def floor_and_ceil_of_both(ab, step, reach):
    """corner_bins: two of the four corners are missing"""
    grid = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=bool)
    for way in (np.floor, np.ceil):
        i, j = way(ab / step).astype(int).T + reach
        grid[i, j] = True
    return grid


def int_cuts_towards_zero(ab, step, reach):
    """corner_bins: negative numbers are cut towards 0"""
    return _around(ab, step, reach, int, SQUARE)


def a_ring(ab, step, reach):
    """corner_bins: these are the nearest bin and its 8 neighbours"""
    ring = list(itertools.product((-1, 0, 1), repeat=2))
    return _around(ab, step, reach, round, ring)


def a_cross(ab, step, reach):
    """corner_bins: these are the nearest bin and its 4 neighbours"""
    return _around(ab, step, reach, np.rint, [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)])


def a_and_b_exchanged(ab, step, reach):
    """corner_bins: the axes a and b are exchanged"""
    return _around(ab[:, ::-1], step, reach, np.floor, SQUARE)


def zero_in_the_corner(ab, step, reach):
    """corner_bins: reach is to be added to the index"""
    grid = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=bool)
    i, j = np.floor(ab / step).astype(int).T
    for di, dj in SQUARE:
        grid[i + di, j + dj] = True
    return grid


def a_new_mask_in_the_loop(ab, step, reach):
    """corner_bins: only the last colour is marked"""
    for a, b in ab:
        grid = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=bool)
        i, j = int(a // step) + reach, int(b // step) + reach
        grid[i : i + 2, j : j + 2] = True
    return grid


def one_row_too_few(ab, step, reach):
    """corner_bins: mask has the shape (6, 6), wanted is (7, 7)"""
    grid = np.zeros((2 * reach, 2 * reach), dtype=bool)
    return grid


def a_list_of_bins(ab, step, reach):
    """corner_bins: mask has the shape (4, 2), wanted is (7, 7): a, b"""
    low = np.floor(ab / step)
    corners = np.concatenate([low + place for place in SQUARE])
    return step * np.unique(corners, axis=0)


def _distances(ab):
    return np.linalg.norm(ab[..., None, :] - BINS, axis=-1)


def _encoded(ab, k, z):
    d = _distances(ab)
    index = d.argsort(-1)[..., :k]
    weight = z(np.take_along_axis(d, index, -1))
    return index, weight / weight.sum(-1, keepdims=True)


def sigma_not_squared(ab, k, sigma):
    """soft_encode: weight is wrong: sigma stands where sigma^2 belongs"""
    return _encoded(ab, k, lambda d: np.exp(-(d**2) / (2 * sigma)))


def without_the_two(ab, k, sigma):
    """soft_encode: weight is wrong: the factor 2 is missing"""
    return _encoded(ab, k, lambda d: np.exp(-((d / sigma) ** 2)))


def two_sigma_squared(ab, k, sigma):
    """soft_encode: weight is wrong: the 2 is squared too"""
    return _encoded(ab, k, lambda d: np.exp(-((d / (2 * sigma)) ** 2)))


def no_brackets(ab, k, sigma):
    """soft_encode: weight is wrong: x / 2 * sigma**2 multiplies by sigma^2"""
    return _encoded(ab, k, lambda d: np.exp(-0.5 * d**2 * sigma**2))


def distance_not_squared(ab, k, sigma):
    """soft_encode: weight is wrong: the distance is not squared"""
    return _encoded(ab, k, lambda d: np.exp(-d / (2 * sigma**2)))


def no_minus(ab, k, sigma):
    """soft_encode: weight is wrong: it grows with the distance"""
    return _encoded(ab, k, lambda d: np.exp(d**2 / (2 * sigma**2)))


def squared_twice(ab, k, sigma):
    """soft_encode: weight is wrong: d^4 stands where d^2 belongs"""
    return _encoded(ab, k, lambda d: np.exp(-(d**4) / (2 * sigma**2)))


def not_normalised(ab, k, sigma):
    """soft_encode: weight is wrong: it is not normalised: divide by the sum over the k bins"""
    d2 = ((BINS - np.expand_dims(ab, -2)) ** 2).sum(-1)
    index = np.argsort(d2)[..., :k]
    return index, np.exp(-np.take_along_axis(d2, index, -1) / 2 / sigma**2)


def the_density_of_a_gaussian(ab, k, sigma):
    """soft_encode: weight is wrong: it is not normalised: divide by the sum over the k bins, not by 2 pi sigma^2"""
    index, weight = not_normalised(ab, k, sigma)
    return index, weight / (2 * np.pi * sigma**2)


def normalised_over_all_bins(ab, k, sigma):
    """soft_encode: weight is wrong: the sum runs over all 313 bins"""
    d = _distances(ab)
    z = np.exp(-(d**2) / (2 * sigma**2))
    z = z / z.sum(-1, keepdims=True)
    index = d.argsort(-1)[..., :k]
    return index, np.take_along_axis(z, index, -1)


def normalised_over_all_pixels(ab, k, sigma):
    """soft_encode: weight is wrong: the sum runs over all pixels"""
    index, weight = not_normalised(ab, k, sigma)
    return index, weight / weight.sum()


def inverse_distances(ab, k, sigma):
    """soft_encode: weight is wrong: this is 1 / d; wanted is a Gaussian"""
    return _encoded(ab, k, lambda d: 1 / d)


def partition_does_not_sort(ab, k, sigma):
    """soft_encode: index is wrong: the right numbers along the axis neighbour, in another order"""
    d = _distances(ab)
    index = np.sort(np.argpartition(d, k - 1, axis=-1)[..., :k])
    z = np.exp(-(np.take_along_axis(d, index, -1) ** 2) / (2 * sigma**2))
    return index, z / z.sum(-1, keepdims=True)


def nearest_last(ab, k, sigma):
    """soft_encode: index is wrong: the right bins, but the farthest of them first"""
    d = _distances(ab)
    index = np.argsort(-d)[..., -k:]
    z = np.exp(-(np.take_along_axis(d, index, -1) ** 2) / (2 * sigma**2))
    return index, z / z.sum(-1, keepdims=True)


def farthest_bins(ab, k, sigma):
    """soft_encode: index is wrong: these are the farthest bins"""
    d = _distances(ab)
    index = d.argsort(-1)[..., ::-1][..., :k]
    return index, np.full(index.shape, 1 / k)


def city_blocks(ab, k, sigma):
    """soft_encode: index is wrong: these are distances |a| + |b|"""
    d = np.abs(ab[..., None, :] - BINS).sum(-1)
    index = np.argsort(d, -1, kind="stable")[..., :k]
    z = np.exp(-(np.take_along_axis(d, index, -1) ** 2) / (2 * sigma**2))
    return index, z / z.sum(-1, keepdims=True)


def places_among_the_neighbours(ab, k, sigma):
    """soft_encode: index is wrong: these are places among the k neighbours"""
    nearest = np.sort(_distances(ab))[..., :k]
    z = np.exp(-(nearest**2) / (2 * sigma**2))
    return nearest.argsort(), z / z.sum(-1, keepdims=True)


def for_a_list_of_pixels_only(ab, k, sigma):
    """soft_encode: index has the shape (1, 1, 1, 313), wanted is (1, 1, 1, 3)"""
    d2 = ((ab[:, None, :] - BINS[None]) ** 2).sum(-1)
    index = np.argsort(d2)[:, :k]
    return index, np.ones(index.shape) / k


def the_dense_target(ab, k, sigma):
    """soft_encode: it returns an array of shape (1, 1, 1, 313); wanted are 2 values: index, weight"""
    z = np.exp(-(_distances(ab) ** 2) / (2 * sigma**2))
    return z / z.sum(-1, keepdims=True)


def _smooth_prior(index, weight, q):
    p = np.bincount(index.ravel(), weight.ravel(), minlength=q)
    return p / p.sum()


def _weighted(index, weight, q, w):
    p = _smooth_prior(index, weight, q)
    w = w(p)
    return p, w / np.dot(p, w)


def lambda_on_the_wrong_term(index, weight, lam, q):
    """prior_and_weights: w is wrong: lambda and 1 - lambda are exchanged"""
    return _weighted(index, weight, q, lambda p: (lam * p + (1 - lam) / q) ** -1)


def lambda_without_q(index, weight, lam, q):
    """prior_and_weights: w is wrong: lambda / Q is the even distribution; its 1 / Q is missing"""
    return _weighted(index, weight, q, lambda p: 1 / (p - lam * p + lam))


def no_mixture(index, weight, lam, q):
    """prior_and_weights: w is wrong: the even distribution is missing: lambda is not used"""
    return _weighted(index, weight, q, lambda p: 1 / p)


def not_inverted(index, weight, lam, q):
    """prior_and_weights: w is wrong: it is not inverted"""
    return _weighted(index, weight, q, lambda p: (1 - lam) * p + lam / q)


def not_scaled(index, weight, lam, q):
    """prior_and_weights: w is wrong: it is not scaled: divide it by sum p w"""
    p = _smooth_prior(index, weight, q)
    return p, 1 / ((1 - lam) * p + lam * np.ones(q) / q)


def sum_of_w_is_one(index, weight, lam, q):
    """prior_and_weights: w is wrong: it is scaled so that sum w = 1"""
    p, w = not_scaled(index, weight, lam, q)
    return p, w / w.sum()


def mean_of_w_is_one(index, weight, lam, q):
    """prior_and_weights: w is wrong: it is scaled so that the mean of w over the bins is 1"""
    p, w = not_scaled(index, weight, lam, q)
    return p, w / w.mean()


def scaled_with_the_mixture(index, weight, lam, q):
    """prior_and_weights: w is wrong: it is scaled with the mixed distribution"""
    p, w = not_scaled(index, weight, lam, q)
    return p, w / (w * ((1 - lam) * p + lam / q)).sum()


def prior_of_the_nearest_bins(index, weight, lam, q):
    """prior_and_weights: p is wrong: only the nearest bin of each pixel is counted"""
    counted = weight.sum(axis=-1) > 0
    p = np.bincount(index[..., 0][counted], minlength=q) / counted.sum()
    return p, 1 / p


def repeated_bins_are_lost(index, weight, lam, q):
    """prior_and_weights: p is wrong: p[index] += weight adds only once"""
    p = np.zeros(q)
    p[index] += weight
    p /= p.sum()
    return p, 1 / p


def weights_forgotten(index, weight, lam, q):
    """prior_and_weights: p is wrong: each neighbour counts as 1"""
    p = np.bincount(index.ravel(), minlength=q)
    p = p / p.sum()
    return p, 1 / p


def a_sum(index, weight, lam, q):
    """prior_and_weights: p is wrong: it is a sum over the pixels"""
    p = np.bincount(index.ravel(), weight.ravel(), q)
    return p, 1 / p


def grey_pixels_in_the_mean(index, weight, lam, q):
    """prior_and_weights: p is wrong: pixels of weights 0 are counted in the mean"""
    p = np.zeros(q)
    np.add.at(p, index.ravel(), weight.ravel())
    p /= weight.shape[0] * weight.shape[1] * weight.shape[2]
    return p, 1 / p


def as_many_as_occur(index, weight, lam, q):
    """prior_and_weights: p has the shape (2,), wanted is (3,): bin"""
    p = np.bincount(index.ravel(), weight.ravel())
    return p / p.sum(), p
