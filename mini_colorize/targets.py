"""Chapter 10: what the network is given and asked for, and the prior of the colours.

Notation
    N, S      crops and their side                h = w = S/4
    Z         soft-encoded truth (chapter 2)
"""

import numpy as np
from tqdm import tqdm

from . import bins
from .backend import to_host, uploaded
from .network import AB_SCALE
from .ops import ops
from .photos import DataError

PRIOR_PHOTOS = 10_000  # crops the prior is measured on, at most; more would not move it
COLORLESS = "no photo has any colour: there is nothing to learn"
GRAY = 5  # a photo whose every |a| and |b| is at most this has no colour to learn from


def targets(rgb):
    """From crops to what the network is given and asked for.

    rgb: (N, S, S, 3) uint8 sRGB. Returns x (N, S, S, 1) float32, index (N, h, w, K) int32,
    weight (N, h, w, K) float32. The truth is taken at one pixel of every 4 x 4, next to the
    middle, so that logit pixels and colours lie on each other. Photos without colour get
    weights 0: they have no say in the loss.
    """
    x, ab = ops(rgb).crops_to_lab(rgb)
    index, weight = ops(ab).soft_encode(ab)
    weight *= _colored(ab)[:, None, None, None]
    return x, index, weight


def regression_targets(rgb):
    """The same for the regression: what its network, of the head "ab", is asked for.

    Returns x (N, S, S, 1) float32, ab / AB_SCALE (N, h, w, 2) float32, and whether a photo has
    colour and so a say in the loss, (N,) bool.
    """
    x, ab = ops(rgb).crops_to_lab(rgb)
    return x, ab / AB_SCALE, _colored(ab)


def _colored(ab):
    return (abs(ab) > GRAY).any(axis=(1, 2, 3))


def pictures_that_count(truth):
    """How many pictures have a say in the loss. truth: the weights (N, h, w, K) or the mask (N,), the
    last of what `targets` and `regression_targets` return. Returns () float64, on its device."""
    return (truth.reshape(len(truth), -1)[:, 0] > 0).sum(dtype=np.float64)


def require_color(loader):
    """Raises DataError if no photo has colour; stops at the first that has."""
    for rgb in loader.batches(0, -(-len(loader) // loader.batch), whole=True):
        if _colored(ops(rgb).crops_to_lab(rgb)[1]).any():
            return
    raise DataError(COLORLESS)


def measure_prior(loader, photos=PRIOR_PHOTOS, xp=np):
    """p: the mean of Z over the photos' crops (section 2.2 of the paper); by the loader's whole team.

    xp: numpy or cupy, where to compute. Returns (313,) float64, NumPy.
    Raises DataError if no photo has colour.
    """
    count = min(photos, len(loader))
    mass = xp.zeros(bins.Q)
    batches = -(-count // loader.batch)
    crops = uploaded(loader.batches(0, batches), xp)
    for rgb in tqdm(crops, "prior", batches, unit="batch", leave=False):
        _, index, weight = targets(rgb)
        mass += bins.bin_mass(index, weight)
    mass = loader.team.sum(to_host(mass))
    if not mass.sum() > 0:
        raise DataError(COLORLESS)
    return mass / mass.sum()
