"""Chapter 2: 313 bins and soft-encoding."""

import math

import numpy as np

from mini_colorize import bins as package

from ..check import Exercise, combined

FILE = "02_bins.py"
NEAR = "picture", "row", "column", "neighbour"


# The bins a colour stands among -----------------------------------------------------------------


def corner_bins(ab, step, reach):
    low = np.floor(ab / step).astype(int) + reach
    mask = np.zeros((2 * reach + 1, 2 * reach + 1), bool)
    for da in (0, 1):
        for db in (0, 1):
            mask[low[:, 0] + da, low[:, 1] + db] = True
    return mask


def _within_one_step(ab, step, reach):
    """By another road: a bin is a corner if a colour is less than a step away in a and in b."""
    line = step * np.arange(-reach, reach + 1)
    off_a, off_b = (abs(line[:, None] - x) < step for x in ab.T)
    return (off_a[:, None] & off_b[None]).any(axis=-1)


def _corner_cases():
    yield {"ab": np.array([[12.3, 4.1]]), "step": 10, "reach": 3}
    yield {"ab": np.array([[12.3, -7.1]]), "step": 10, "reach": 3}
    yield {"ab": np.array([[-4.5, 18.2], [-26.1, -3.3]]), "step": 10, "reach": 4}
    rng = np.random.default_rng(0)
    yield {"ab": rng.uniform(-29, 29, (9, 2)).round(1) + 0.05, "step": 5, "reach": 6}


def _marked(rounded, around=((0, 0),), turned=False, origin=True):
    """A mask of the cells at `around` each rounded colour."""

    def wrong(ab, step, reach):
        cell = rounded(ab / step).astype(int)[:, :: -1 if turned else 1] + reach * origin
        mask = np.zeros((2 * reach + 1, 2 * reach + 1), bool)
        for da, db in around:
            at = cell + [da, db]
            if abs(at).max() > 2 * reach:
                raise ValueError("outside")
            mask[at[:, 0], at[:, 1]] = True
        return mask

    return wrong


CORNERS = (0, 0), (0, 1), (1, 0), (1, 1)
CROSS = (0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)
RING = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]

BINS_AROUND = Exercise(
    FILE,
    "corner_bins",
    corner_bins,
    _within_one_step,
    {"mask": ("a", "b")},
    list(_corner_cases()),
    mistakes={
        "mask": [
            ("only the nearest bin of each colour is marked, not all four", _marked(np.rint)),
            ("only the corner below (floor) is marked, not all four", _marked(np.floor)),
            ("only the corner above (ceil) is marked, not all four", _marked(np.ceil)),
            (
                "two of the four corners are missing: also where one of a and b goes down, "
                "and the other up",
                _marked(np.floor, [(0, 0), (1, 1)]),
            ),
            (
                "negative numbers are cut towards 0 (int, astype); the corner below needs floor",
                _marked(np.trunc, CORNERS),
            ),
            (
                "the square is laid to the nearest bin; the corner below needs floor",
                _marked(np.rint, CORNERS),
            ),
            (
                "these are the nearest bin and its 4 neighbours, not corners",
                _marked(np.rint, CROSS),
            ),
            ("these are the nearest bin and its 8 neighbours, not corners", _marked(np.rint, RING)),
            (
                "the bin (0, 0) stands at [reach, reach]: reach is to be added to the index",
                _marked(np.floor, CORNERS, origin=False),
            ),
            (
                "only the last colour is marked: the mask is made anew for each",
                lambda ab, step, reach: corner_bins(ab[-1:], step, reach),
            ),
            (
                "only the first colour is marked: is there a return within the loop?",
                lambda ab, step, reach: corner_bins(ab[:1], step, reach),
            ),
        ]
    },
)


# Soft-encoding ----------------------------------------------------------------------------------


def _encode_cases():
    rng = np.random.default_rng(0)
    yield {"ab": np.array([12.3, -7.1]).reshape(1, 1, 1, 2), "k": 3, "sigma": 5.0}
    ab = np.array([[31.7, 8.6], [-88.2, 91.3]]).reshape(1, 1, 2, 2)  # the second: at the border
    yield {"ab": ab, "k": 5, "sigma": 5.0}
    ab = rng.uniform(-60, 60, (2, 3, 1, 2)).round(1) + 0.03
    yield {"ab": ab, "k": 4, "sigma": 30.0}


def _by_sorting(ab, k, sigma):
    """By loops: all bins of one pixel after the other, sorted in pairs (distance, bin)."""
    index = np.zeros((*ab.shape[:-1], k), np.int64)
    weight = np.zeros((*ab.shape[:-1], k))
    for at in np.ndindex(ab.shape[:-1]):
        bins = package.BINS.tolist()
        near = sorted((math.dist(ab[at], place), q) for q, place in enumerate(bins))[:k]
        z = [math.exp(-((d / sigma) ** 2) / 2) for d, _ in near]
        index[at], weight[at] = [q for _, q in near], [value / sum(z) for value in z]
    return index, weight


def _d2(ab):
    return ((ab[..., None, :] - package.BINS) ** 2).sum(axis=-1)


def _nearest(distances):
    """The mistake to sort by something else; equal ones in their order."""
    return lambda ab, k, sigma: np.argsort(distances(ab), axis=-1, kind="stable")[..., :k]


def _gauss(d2, sigma):
    return np.exp(-d2 / (2 * sigma**2))


def _normalised(z, k):
    return z[..., :k] / z[..., :k].sum(axis=-1, keepdims=True)


def _weight(z=_gauss, scale=lambda z, k, sigma: _normalised(z, k)):
    """The weights with another z(d2, sigma), d2 of all bins, nearest first, or another scale."""
    return lambda ab, k, sigma: scale(z(np.sort(_d2(ab), axis=-1), sigma), k, sigma)


def _over(axes):
    return lambda z, k, sigma: z[..., :k] / z[..., :k].sum(axis=axes, keepdims=axes is not None)


EXPONENTS = [
    ("sigma stands where sigma^2 belongs", lambda d2, s: np.exp(-d2 / (2 * s))),
    ("the factor 2 is missing: d^2 / (2 sigma^2)", lambda d2, s: np.exp(-d2 / s**2)),
    ("the 2 is squared too: d^2 / (2 sigma^2)", lambda d2, s: np.exp(-d2 / (2 * s) ** 2)),
    ("sigma is not used: it is not always 5", lambda d2, s: _gauss(d2, 5)),
    (
        "x / 2 * sigma**2 multiplies by sigma^2: put 2 * sigma**2 into brackets",
        lambda d2, s: np.exp(-d2 / 2 * s**2),
    ),
    ("sigma is missing: d^2 / (2 sigma^2)", lambda d2, s: np.exp(-d2 / 2)),
    ("sigma is missing: d^2 / (2 sigma^2)", lambda d2, s: np.exp(-d2)),
    ("sigma is missing, and the square of d", lambda d2, s: np.exp(-np.sqrt(d2))),
    (
        "the distance is not squared, nor is sigma: d^2 / (2 sigma^2)",
        lambda d2, s: np.exp(-np.sqrt(d2) / s),
    ),
    (
        "the distance is not squared, nor is sigma: d^2 / (2 sigma^2)",
        lambda d2, s: np.exp(-np.sqrt(d2) / (2 * s)),
    ),
    ("the distance is not squared: d^2 / (2 sigma^2)", lambda d2, s: _gauss(np.sqrt(d2), s)),
    (
        "d^4 stands where d^2 belongs: what was squared already is squared again",
        lambda d2, s: _gauss(d2**2, s),
    ),
    (
        "it grows with the distance: the minus in the exponent is missing",
        lambda d2, s: _gauss(-d2, s),
    ),
    ("all are alike: the distance is not used", lambda d2, s: 0 * d2 + 1),
    ("this is 1 / d; wanted is a Gaussian", lambda d2, s: 1 / np.sqrt(d2)),
    ("this is 1 / d^2; wanted is a Gaussian", lambda d2, s: 1 / d2),
    (
        "the Gaussian's values are put through a softmax, which takes exp once more",
        lambda d2, s: np.exp(_gauss(d2, s)),
    ),
    ("all the weight is at the nearest bin", lambda d2, s: 1.0 * (d2 == d2[..., :1])),
]
SCALES = [
    (
        "it is not normalised: divide by the sum over the k bins",
        lambda z, k, sigma: z[..., :k],
    ),
    (
        "it is not normalised: divide by the sum over the k bins, not by 2 pi sigma^2",
        lambda z, k, sigma: z[..., :k] / (2 * np.pi * sigma**2),
    ),
    (
        "it is not normalised: divide by the sum over the k bins, not by sqrt(2 pi) sigma",
        lambda z, k, sigma: z[..., :k] / (np.sqrt(2 * np.pi) * sigma),
    ),
    (
        "it is divided by the largest; divide by the sum over the k bins",
        lambda z, k, sigma: z[..., :k] / z[..., :1],
    ),
    (
        "it is divided by the root of the sum of squares; divide by the sum",
        lambda z, k, sigma: z[..., :k] / np.linalg.norm(z[..., :k], axis=-1, keepdims=True),
    ),
    (
        "the sum runs over all 313 bins; it is to run over the k nearest",
        lambda z, k, sigma: _normalised(z, None)[..., :k],
    ),
    ("the sum runs over all pixels; each pixel has a sum of its own (axis=-1)", _over(None)),
    ("the sum runs over the pictures; it is to run over a pixel's k bins (axis=-1)", _over(0)),
]

ENCODE = Exercise(
    FILE,
    "soft_encode",
    package.soft_encode,
    _by_sorting,
    {"index": NEAR, "weight": NEAR},
    list(_encode_cases()),
    mistakes={
        "index": [
            ("these are the farthest bins, not the nearest", _nearest(lambda ab: -_d2(ab))),
            (
                "the right bins, but the farthest of them first",
                lambda ab, k, sigma: np.argsort(_d2(ab), axis=-1)[..., :k][..., ::-1],
            ),
            (
                "these are distances |a| + |b|; wanted is sqrt(a^2 + b^2), or its square",
                _nearest(lambda ab: abs(ab[..., None, :] - package.BINS).sum(axis=-1)),
            ),
            (
                "these are the larger of |a| and |b|; wanted is sqrt(a^2 + b^2), or its square",
                _nearest(lambda ab: abs(ab[..., None, :] - package.BINS).max(axis=-1)),
            ),
            (
                "only the distance in a is looked at",
                _nearest(lambda ab: abs(ab[..., :1] - package.BINS[:, 0])),
            ),
            (
                "differences are added up with their sign; square them first",
                _nearest(lambda ab: (ab[..., None, :] - package.BINS).sum(axis=-1)),
            ),
            ("a and b are exchanged", _nearest(lambda ab: _d2(ab[..., ::-1]))),
            (
                "these count from 1; rows of BINS count from 0",
                lambda ab, k, sigma: np.argsort(_d2(ab), axis=-1)[..., :k] + 1,
            ),
            (
                "these are places among the k neighbours, not rows of BINS",
                lambda ab, k, sigma: np.broadcast_to(np.arange(k), (*ab.shape[:-1], k)),
            ),
        ],
        "weight": combined(_weight, z=EXPONENTS, scale=SCALES),
    },
    tolerance=1e-4,
)


# Prior and class weights ------------------------------------------------------------------------


def _prior_cases():
    def case(index, weight, lam, q):
        return {"index": np.array(index), "weight": np.array(weight), "lam": lam, "q": q}

    yield case([[[[0, 1]], [[1, 0]]]], [[[[0.9, 0.1]], [[0.7, 0.3]]]], 0.3, 3)
    yield case(
        [[[[0, 1, 2], [2, 1, 4]]], [[[1, 0, 2], [0, 2, 3]]]],
        [[[[0.5, 0.3, 0.2], [0.8, 0.1, 0.1]]], [[[0.6, 0.4, 0.0], [0.0, 0.0, 0.0]]]],
        0.3,
        5,
    )
    rng = np.random.default_rng(0)
    weight = np.sort(rng.uniform(0.1, 1, (2, 3, 4, 5)).round(1))[..., ::-1]
    weight = weight / weight.sum(axis=-1, keepdims=True)
    weight[1, :2] = 0
    index = np.sort(rng.integers(0, 7, (2, 3, 4, 1)), axis=-1) + np.arange(5)
    yield {"index": index, "weight": weight, "lam": 0.6, "q": 12}
    yield case([[[[0, 1], [2, 1]]]], [[[[0.75, 0.25], [0.9, 0.1]]]], 0.3, 3)  # no bin is empty


def _by_pixels(index, weight, lam, q):
    """By loops, one neighbour at a time."""
    p = [0.0] * q
    for at, share in zip(index.ravel().tolist(), weight.ravel().tolist(), strict=True):
        p[at] += share
    p = [value / math.fsum(p) for value in p]
    w = [1 / ((1 - lam) * value + lam / q) for value in p]
    mean = math.fsum(a * b for a, b in zip(p, w, strict=True))
    return np.array(p), np.array([value / mean for value in w])


def _package(index, weight, lam, q):
    p = package.bin_mass(index, weight)[:q]
    p /= p.sum()
    return p, package.class_weights(p, lam)


def _prior(mass, divide=lambda p, index, weight: p.sum()):
    """mass(p, index, weight) adds the pixels to p, which is then divided."""

    def wrong(index, weight, lam, q):
        p = np.zeros(q)
        mass(p, index, weight)
        return p / divide(p, index, weight)

    return wrong


def _all(p, index, weight):
    np.add.at(p, index, weight)


def _nearest_only(p, index, weight):
    np.add.at(p, index[..., 0], weight[..., 0] > 0)


def _lost(p, index, weight):
    p[index] += weight


def _right_w(p, lam, q):
    return 1 / ((1 - lam) * p + lam / q)


def _w(value=_right_w, scale=lambda w, p, mixed: w / (p * w).sum()):
    """w = value(p, lam, q), scaled."""

    def wrong(index, weight, lam, q):
        p, _ = _by_pixels(index, weight, lam, q)
        return scale(value(p, lam, q), p, (1 - lam) * p + lam / q)

    return wrong


VALUES = [
    (
        "lambda and 1 - lambda are exchanged: 1 - lambda belongs to p",
        lambda p, lam, q: 1 / (lam * p + (1 - lam) / q),
    ),
    (
        "lambda / Q is the even distribution; its 1 / Q is missing",
        lambda p, lam, q: 1 / ((1 - lam) * p + lam),
    ),
    (
        "the even distribution 1 / Q lacks its factor lambda",
        lambda p, lam, q: 1 / ((1 - lam) * p + 1 / q),
    ),
    (
        "Q is the number of all bins, not of those that occur",
        lambda p, lam, q: 1 / ((1 - lam) * p + lam / (p > 0).sum()),
    ),
    ("p lacks its factor 1 - lambda", lambda p, lam, q: 1 / (p + lam / q)),
    ("lambda is not used: it is not always 1/2", lambda p, lam, q: _right_w(p, 0.5, q)),
    (
        "it is not inverted: frequent bins get the large weights",
        lambda p, lam, q: (1 - lam) * p + lam / q,
    ),
    (
        "each of the two is inverted; invert their sum",
        lambda p, lam, q: (1 - lam) / p + lam * q,
    ),
    ("the even distribution is missing: lambda is not used", lambda p, lam, q: 1 / p),
    ("this is the inverse's root", lambda p, lam, q: _right_w(p, lam, q) ** 0.5),
    ("this is a logarithm; wanted is the inverse", lambda p, lam, q: np.log(_right_w(p, lam, q))),
    ("all are alike: neither p nor lambda is used", lambda p, lam, q: 0 * p + 1),
    (
        "bins that do not occur get 0; they get the largest weight",
        lambda p, lam, q: np.where(p > 0, _right_w(p, lam, q), 0),
    ),
]
W_SCALES = [
    ("it is not scaled: divide it by sum p w", lambda w, p, mixed: w),
    ("it is scaled so that sum w = 1; wanted is sum p w = 1", lambda w, p, mixed: w / w.sum()),
    (
        "it is scaled so that the mean of w over the bins is 1; wanted is sum p w = 1",
        lambda w, p, mixed: w / w.mean(),
    ),
    (
        "it is divided by the mean of p w over the bins; divide by the sum",
        lambda w, p, mixed: w / (p * w).mean(),
    ),
    (
        "it is scaled so that the largest is 1; wanted is sum p w = 1",
        lambda w, p, mixed: w / w.max(),
    ),
    (
        "it is scaled with the mixed distribution; wanted is sum p w = 1, with p itself",
        lambda w, p, mixed: w / (mixed * w).sum(),
    ),
    ("it is multiplied by sum p w; divide by it", lambda w, p, mixed: w * (p * w).sum()),
    (
        "p w is given back; wanted is w, scaled so that the sum of p w is 1",
        lambda w, p, mixed: p * w / (p * w).sum(),
    ),
]

WEIGHTS = Exercise(
    FILE,
    "prior_and_weights",
    _package,
    _by_pixels,
    {"p": ("bin",), "w": ("bin",)},
    list(_prior_cases()),
    mistakes={
        "p": [
            (
                "only the nearest bin of each pixel is counted: the prior is not smoothed",
                _prior(_nearest_only),
            ),
            (
                "only the nearest bin of each pixel is counted: the prior is not smoothed",
                _prior(lambda p, index, weight: np.add.at(p, index[..., 0], weight[..., 0])),
            ),
            (
                "each neighbour counts as 1: its weight is left out",
                _prior(lambda p, index, weight: np.add.at(p, index, 1)),
            ),
            (
                "p[index] += weight adds only once where a bin occurs twice; np.add.at or "
                "np.bincount adds all",
                _prior(_lost),
            ),
            (
                "p[index] += weight adds only once where a bin occurs twice; np.add.at or "
                "np.bincount adds all",
                _prior(_lost, lambda p, index, weight: index[..., 0].size),
            ),
            (
                "it is a sum over the pixels; divide it by their number, so that its sum is 1",
                _prior(_all, lambda p, index, weight: 1),
            ),
            (
                "it is divided by N h w K; a pixel's K weights are together 1",
                _prior(_all, lambda p, index, weight: index.size),
            ),
            (
                "pixels of weights 0 are counted in the mean: they are to be left out of it",
                _prior(_all, lambda p, index, weight: index[..., 0].size),
            ),
            (
                "it is divided by the number of pictures, not of pixels",
                _prior(_all, lambda p, index, weight: len(index)),
            ),
            (
                "it is divided by the number of bins, not of pixels",
                _prior(_all, lambda p, index, weight: len(p)),
            ),
        ],
        "w": combined(_w, value=VALUES, scale=W_SCALES),
    },
    tolerance=1e-5,
)

EXERCISES = [BINS_AROUND, ENCODE, WEIGHTS]
