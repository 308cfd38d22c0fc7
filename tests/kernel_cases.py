"""Sizes and arrays for the tests of kernels and of twins."""

import numpy as np
from emulator import standin

SMALL = standin.settings.sanitizer == "tsan"  # slow: a process a launch
# One pixel, just under and over a warp, just over four blocks.
PIXELS = [33] if SMALL else [1, 31, 33, 1025]
# Pictures with channels that fill a block's width, part of it, or take several; 313 is odd.
PICTURES = [(2, 5, 3, 3), (2, 9, 7, 64)]
if not SMALL:
    PICTURES += [(1, 1, 1, 1), (1, 33, 31, 4), (1, 3, 11, 313), (3, 4, 5, 512), (3, 9, 7, 12)]


def loss_case(pixels, q, k=5):
    """Logits, the bins of each pixel, their weights, and the weights of classes, in float64."""
    rng, k = np.random.default_rng(1), min(k, q)
    index = np.argsort(rng.random((1, 1, pixels, q)), axis=-1)[..., :k].astype(np.int32)
    weight = -np.sort(-rng.random((1, 1, pixels, k)), axis=-1)
    weight /= weight.sum(axis=-1, keepdims=True)
    weight[:, :, 3::7] = 0  # outside the mask
    logits = 3 * rng.standard_normal((1, 1, pixels, q))
    return logits, index, weight, rng.uniform(0.5, 4, q)
