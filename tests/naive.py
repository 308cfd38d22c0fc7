"""What the tests of layers share: geometries, random numbers, central differences, an error.

Notation: as in mini_colorize.layers.conv.
"""

import numpy as np

# kernel, stride, dilation, padding (None: what keeps the size)
CONVS = [
    (kernel, stride, dilation, padding)
    for kernel in (1, 3)
    for stride in (1, 2)
    for dilation in (1, 2)
    for padding in (0, None)
    if kernel == 3 or (dilation == 1 and padding == 0)
] + [(3, 3, 2, 1), (2, 2, 1, 0), (1, 2, 1, 1), (3, 2, 4, 4)]
# kernel, stride, dilation, padding
TRANSPOSED = [(4, 2, 1, 1), (3, 2, 1, 1), (3, 1, 2, 2), (2, 3, 1, 0), (3, 2, 2, 1)]


def random(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def numeric_gradient(f, array, eps=1e-6):
    """Central differences: df/d array, entry by entry. `array` is changed, and restored."""
    gradient = np.zeros_like(array)
    for at in np.ndindex(array.shape):
        kept = array[at]
        array[at] = kept + eps
        above = f()
        array[at] = kept - eps
        below = f()
        array[at] = kept
        gradient[at] = (above - below) / (2 * eps)
    return gradient


def relative_error(value, truth):
    """|value - truth| / |truth|, both as one long vector (L2 norms)."""
    value, truth = np.asarray(value, np.float64), np.asarray(truth, np.float64)
    assert value.shape == truth.shape
    return np.linalg.norm(value - truth) / np.linalg.norm(truth)
