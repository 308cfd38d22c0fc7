"""Chapter 2: the 313 colour bins.

The paper turns "which colour?" from a regression into a classification. The ab plane is cut into
a grid of step 10, of which 313 cells matter, and the network gives every pixel a probability for
each. Section 2.1 of the paper; its letters are used here.

Notation
    Q   number of bins, 313          K   neighbours a pixel is shared among, 5
    Z   soft-encoded truth, (..., Q), a probability over bins; kept as K indices and K weights
    p   prior: mean of Z over the training pixels, (Q,)
    w   class weights, (Q,)          T   temperature of the annealed mean

Why 313? Rounding the Lab of each of the 16.7 million sRGB colours to this grid occupies 261
cells. The authors kept these and about one ring of cells around them: soft-encoding needs
neighbours on both sides of a colour at the edge of the gamut.
"""

from functools import lru_cache

import numpy as np

from . import kernels
from .backend import array_module
from .threads import run, split

STEP = 10
K = 5
SIGMA = 5.0
CHUNK = 2048  # pixels a thread treats at a time: the work stays in its cache

# For each a, the lowest and the highest b. Ordered by a, then by b: the authors' order.
_ROWS = {
    -90: (50, 90),
    -80: (20, 90),
    -70: (0, 90),
    -60: (-20, 90),
    -50: (-30, 100),
    -40: (-40, 100),
    -30: (-50, 100),
    -20: (-50, 100),
    -10: (-60, 100),
    0: (-70, 100),
    10: (-80, 90),
    20: (-80, 90),
    30: (-90, 90),
    40: (-100, 90),
    50: (-100, 80),
    60: (-110, 80),
    70: (-110, 80),
    80: (-110, 70),
    90: (-110, 70),
    100: (-90, 0),
}
BINS = np.array(
    [(a, b) for a, (low, high) in _ROWS.items() for b in range(low, high + 1, STEP)],
    dtype=np.float32,
)
Q = len(BINS)  # 313

_A, _B = np.vstack([BINS, [[np.inf, np.inf]]]).astype(np.float64).T.copy()  # bin Q: never near

# The lookup of soft_encode: square cells over all ab that an 8-bit sRGB colour can have.
_CELL, _REACH = 5, 130


@lru_cache(maxsize=4)
def _candidates(k):
    """For each lookup cell, every bin that can be among the k nearest of any point in the cell.

    A bin is left out only if k others are nearer to the whole cell: its smallest distance to the
    cell exceeds the k-th smallest of all bins' largest distances. So the search stays exact.
    Returns (cells, cells, M) int32, each row ascending, padded with Q (a bin at infinity).
    """
    low = np.arange(-_REACH, _REACH, _CELL, dtype=np.float64)
    corner = np.stack(np.meshgrid(low, low, indexing="ij"), axis=-1)[:, :, None, :]
    below, above = corner - BINS, BINS - (corner + _CELL)
    nearest = (np.maximum(np.maximum(below, above), 0) ** 2).sum(-1)
    farthest = (np.maximum(-below, -above) ** 2).sum(-1)
    can = nearest <= np.sort(farthest, axis=-1)[..., k - 1 : k]
    table = np.full(can.shape[:2] + (can.sum(-1).max(),), Q, dtype=np.int32)
    i, j, q = np.nonzero(can)
    table[i, j, (can.cumsum(-1) - 1)[i, j, q]] = q
    return table


def soft_encode(ab, k=K, sigma=SIGMA):
    """Z of each pixel: its k nearest bins, weighted by a Gaussian of the distance (section 2.1).

        Z_q = exp(-|ab - bin_q|^2 / (2 sigma^2)) / sum of the same over the k nearest bins

    ab: (..., 2), float, finite.
    Returns index (..., k) int32, nearest first, equal distances to the lower bin index, and
    weight (..., k) float32, of sum 1. Distances are computed in float64.
    """
    if array_module(ab) is not np:
        return kernels.soft_encode(ab, BINS, _candidates(k), _CELL, _REACH, k, sigma)
    points = ab.reshape(-1, 2)
    index = np.empty((len(points), k), dtype=np.int32)
    weight = np.empty((len(points), k), dtype=np.float32)
    _candidates(k)  # made once, before threads ask for it

    def one(part):
        index[part], d2 = _nearest(points[part].astype(np.float64), k)
        z = np.exp((d2[:, :1] - d2) / (2 * sigma**2))  # against the nearest: cannot vanish
        weight[part] = z / z.sum(-1, keepdims=True)

    run(one, split(len(points), CHUNK))
    return index.reshape(ab.shape[:-1] + (k,)), weight.reshape(ab.shape[:-1] + (k,))


def _nearest(points, k):
    """Indices and squared distances of the k nearest bins. points: (P, 2) float64."""
    if (abs(points) < _REACH).all():
        cell = ((points + _REACH) // _CELL).astype(np.int64)
        candidates = _candidates(k)[cell[:, 0], cell[:, 1]]
    else:  # no sRGB colour comes here
        candidates = np.broadcast_to(np.arange(Q, dtype=np.int32), (len(points), Q))
    d2 = np.square(points[:, :1] - _A[candidates])
    d2 += np.square(points[:, 1:] - _B[candidates])
    order = np.argsort(d2, axis=-1, kind="stable")[:, :k]  # stable: ties to the lower bin
    return np.take_along_axis(candidates, order, -1), np.take_along_axis(d2, order, -1)


def dense_target(index, weight, q=Q):
    """Z in full, for teaching and tests; training never builds it.

    index, weight: (..., K). Returns (..., q), the weights' dtype.
    """
    xp = array_module(weight)
    z = xp.zeros(index.shape[:-1] + (q,), dtype=weight.dtype)
    xp.put_along_axis(z, index.astype(np.int64), weight, axis=-1)
    return z


def target_entropy(weight):
    """Mean entropy of the targets in nats: the least that the unweighted loss can reach.

    weight: (..., K), rows of sum 1, or of sum 0 for pixels that do not count. Returns a float.
    """
    xp = array_module(weight)
    z = weight.astype(np.float64)
    counted = max(float(z.sum()), 1.0)
    return float(-(z * xp.log(xp.where(z > 0, z, 1))).sum() / counted)


def bin_mass(index, weight):
    """Sum of Z over pixels. index, weight: (..., K). Returns (Q,) float64; the prior, unscaled."""
    xp = array_module(weight)
    return xp.bincount(index.ravel(), weights=weight.ravel().astype(np.float64), minlength=Q)


def class_weights(prior, lam=0.5):
    """Weights that make rare colours count (equation 4 of the paper).

        w ~ ((1 - lambda) p + lambda / Q)^-1,   scaled so that sum_q p_q w_q = 1

    prior: (Q,), of sum 1. lam: 0 (full rebalancing) .. 1 (none). Returns (Q,) float32.
    Raises ValueError if the prior is not a probability over bins, or if lam is 0 and a bin has
    none.
    """
    prior = prior.astype(np.float64)
    if not (prior.ndim == 1 and (prior >= 0).all() and abs(float(prior.sum()) - 1) < 1e-3):
        raise ValueError("the prior must be probabilities over the bins that sum to 1")
    mixed = (1 - lam) * prior + lam / len(prior)
    if not (mixed > 0).all():
        raise ValueError("lambda = 0 needs a prior without empty bins")
    w = 1 / mixed
    return (w / (prior * w).sum()).astype(np.float32)


def annealed_mean(logits, temperature=0.38):
    """One colour from a distribution over bins (equation 5 of the paper).

        ab = sum_q softmax(logits / T)_q bin_q

    T = 1 is the mean of the distribution (safe, dull); T -> 0 its mode (vivid, blotchy); T = 0 is
    the mode itself, the lowest bin index among equals.
    logits: (..., Q) float. Returns (..., 2), the same dtype: a, b.
    Raises ValueError if the temperature is negative or not finite.
    """
    if not (temperature >= 0 and np.isfinite(temperature)):
        raise ValueError(f"temperature {temperature}: must be 0 or more")
    if array_module(logits) is not np:
        return kernels.annealed_mean(logits, BINS, temperature)
    bins = BINS.astype(logits.dtype)
    rows = logits.reshape(-1, logits.shape[-1])
    ab = np.empty((len(rows), 2), dtype=logits.dtype)

    def one(part):
        if logits.dtype.type(temperature) == 0:  # or too small for the dtype to tell from 0
            ab[part] = bins[rows[part].argmax(-1)]
            return
        z = rows[part] - rows[part].max(-1, keepdims=True)  # 0 at most: exp cannot overflow
        with np.errstate(over="ignore"):  # -inf is the right answer for a tiny temperature
            z /= temperature
        np.exp(z, out=z)
        ab[part] = (z @ bins) / z.sum(-1, keepdims=True)

    run(one, split(len(rows), CHUNK))
    return ab.reshape(logits.shape[:-1] + (2,))
