"""Chapter 10: a wider network that starts with what a narrow one has learned.

Every channel of the narrow network is laid r times into the wide one. Its copies all have the same
value, so a weight that read the channel can be divided among them: shares that add up to 1 leave
the sum as it was, and the wide network says exactly what the narrow one says. The shares are
drawn at random, so the copies get different gradients and soon become different channels. (Chen,
Goodfellow and Shlens, "Net2Net", 2016. Not in the paper; the first hours of training are saved.)

Notation
    c, C   channels of a layer in the narrow and the wide network, C = r c
"""

import numpy as np

from .network import Network


def widened(network, width, seed=0):
    """A network of a larger width with the same function.

    network: on the CPU. width: as of Network. Returns a Network of the same head, on the CPU.
    Raises ValueError if its channels are not multiples of the narrow network's.
    """
    wide, rng = Network(width, head=network.head), np.random.default_rng(seed)
    source = network.state()
    wide.load_state({name: _widen(source[name], a, rng) for name, a in wide.state().items()})
    return wide


def _widen(array, like, rng):
    """One array in the shape of `like`. Weights (k, k, c_in, c_out): both last axes grow."""
    if any(big % small for big, small in zip(like.shape, array.shape, strict=True)):
        raise ValueError(f"cannot be widened: {array.shape} does not divide {like.shape}")
    copies = [big // small for big, small in zip(like.shape, array.shape, strict=True)]
    if array.ndim == 1:
        return np.tile(array, copies)
    k, _, c_in, c_out = like.shape
    shares = rng.exponential(size=(k, k, copies[2], array.shape[2], c_out))  # evenly on a simplex
    shares /= shares.sum(axis=2, keepdims=True)
    return np.tile(array, copies) * shares.reshape(like.shape)
