"""Chapter 2: the 313 colour bins.

The paper turns "which colour?" from a regression into a classification. The ab plane is cut into
a grid of step 10, of which 313 cells matter, and the network gives every pixel a probability for
each. The paper is Zhang, Isola and Efros, "Colorful Image Colorization", ECCV 2016 (1603.08511),
here section 2.1, and its letters are used; the authors are its authors.

Notation
    Q   number of bins, 313          K   neighbours a pixel is shared among, 5
    Z   soft-encoded truth, (..., Q), a probability over bins; kept as K indices and K weights
    p   prior: mean of Z over the training pixels, (Q,); soft-encoding smooths it, which the paper
        does with a Gaussian
    w   class weights, (Q,)          T   temperature of the annealed mean

Why 313? Rounding the Lab of each of the 16.7 million sRGB colours to this grid occupies 261
cells. Soft-encoding needs neighbours on both sides of a colour at the edge of the gamut, so 52 more
were kept: the 313 are all grid points within one step, in a and in b, of the convex hull of sRGB
(course/02-bins.md computes them; the authors did not publish their rule).
"""

import numpy as np

STEP = 10
K = 5
SIGMA = 5.0
TEMPERATURE = 0.38

# For each a, the lowest and the highest b. Ordered by a, then by b: as in their pts_in_hull.npy.
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


def soft_encode(ab, k=K, sigma=SIGMA):
    """Z of each pixel: its k nearest bins, weighted by a Gaussian of the distance (section 2.1).

        Z_q = exp(-|ab - bin_q|^2 / (2 sigma^2)) / sum of the same over the k nearest bins

    ab: (..., 2), float, finite.
    Returns index (..., k) int32, nearest first, equal distances to the lower bin index, and
    weight (..., k) float32, of sum 1. Distances are computed in float64.
    """
    d2 = ((ab[..., None, :].astype(np.float64) - BINS) ** 2).sum(axis=-1)
    index = np.argsort(d2, axis=-1, kind="stable")[..., :k]  # stable: ties to the lower bin
    near = np.take_along_axis(d2, index, axis=-1)
    e = np.exp((near[..., :1] - near) / (2 * sigma**2))  # over the nearest's: the sum is 1 or more
    weight = e / e.sum(axis=-1, keepdims=True)
    return index.astype(np.int32), weight.astype(np.float32)


def dense_target(index, weight, q=Q):
    """Z in full, for teaching and tests; training never builds it.

    index, weight: (..., K). Returns (..., q), the weights' dtype.
    """
    z = np.zeros(index.shape[:-1] + (q,), dtype=weight.dtype)
    np.put_along_axis(z, index, weight, axis=-1)
    return z


def target_entropy(weight):
    """Mean entropy of the targets in nats: the least that the unweighted loss can reach.

    weight: (..., K), rows of sum 1, or of sum 0 for pixels that do not count. Returns a float.
    """
    z = weight.astype(np.float64)
    pixels = max(float(z.sum()), 1.0)
    return float(-(z * np.log(np.where(z > 0, z, 1))).sum() / pixels)


def bin_mass(index, weight):
    """Sum of Z over pixels. index, weight: (..., K). Returns (Q,) float64; the prior, unscaled."""
    return np.bincount(index.ravel(), weights=weight.ravel().astype(np.float64), minlength=Q)


def class_weights(prior, lam=0.5):
    """Weights that make rare colours count (equation 4 of the paper).

        w proportional to ((1 - lambda) p + lambda / Q)^-1,   sum_q p_q w_q = 1

    prior: p, (Q,), of sum 1. lam: lambda, 0 (full rebalancing) .. 1 (none). Returns (Q,) float32.
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


def check_temperature(temperature):
    """The temperature. Raises ValueError if it is negative or not finite."""
    if not (temperature >= 0 and np.isfinite(temperature)):
        raise ValueError(f"temperature {temperature}: must be 0 or more")
    return temperature


def annealed_mean(logits, temperature=TEMPERATURE):
    """One colour from a distribution over bins (equation 5 of the paper).

        ab = sum_q softmax(logits / T)_q bin_q

    (The paper has it for probabilities: softmax(logits) ^ (1 / T), scaled to sum 1, is the same.)
    T = 1 is the mean of the distribution (safe, dull); T -> 0 its mode (vivid, blotchy); T = 0 is
    the mode itself, the lowest bin index among equals.
    logits: (..., Q) float. Returns (..., 2), the same dtype: a, b.
    Raises ValueError if the temperature is negative or not finite.
    """
    if logits.dtype.type(check_temperature(temperature)) == 0:  # or so small that it rounds to 0
        return BINS.astype(logits.dtype)[logits.argmax(axis=-1)]
    shifted = logits - logits.max(axis=-1, keepdims=True)  # 0 at most: exp cannot overflow
    with np.errstate(over="ignore"):  # -inf is the right answer for a tiny temperature
        e = np.exp(shifted / temperature)
    return (e @ BINS.astype(logits.dtype)) / e.sum(axis=-1, keepdims=True)
