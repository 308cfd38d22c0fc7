"""Chapter 7: the losses. Check your answers with: python -m course 7

    z   logits, (N, h, w, Q), float64        softmax(z)_q = exp(z_q) / sum over r of exp(z_r)
    Z   truth, a distribution over the Q bins of a pixel: all Z_q of a pixel sum to 1

The Q bins are always the last axis. Here Q is 3 to 6, not 313.
"""

import numpy as np  # noqa: F401


def log_softmax(logits):
    """The logarithm of the softmax over the bins of each pixel: finite for logits of 1000, too.

        log softmax(z)_q = z_q - log sum over r of exp(z_r)

    logits: (N, h, w, Q). Returns the same shape.
    """
    raise NotImplementedError


def cross_entropy(logits, target):
    """Softmax cross-entropy, the mean over the P = N h w pixels, and its gradient.

        L = -1/P sum over pixels of  sum over q of Z_q log softmax(z)_q
        dL/dz_q = 1/P (softmax(z)_q - Z_q)

    logits, target: (N, h, w, Q); target is Z. It stays finite for logits of 1000.
    Returns L, a number, and dL/dz, (N, h, w, Q).
    """
    raise NotImplementedError


def sparse_cross_entropy(logits, index, weight):
    """The same loss, for a truth of which only K bins of a pixel are not 0.

        Z_q = weight[..., k] where q = index[..., k],  0 elsewhere

    logits: (N, h, w, Q). index: (N, h, w, K) int, K different bins. weight: (N, h, w, K), of sum 1.
    Returns L, a number, and dL/dz, (N, h, w, Q).
    """
    raise NotImplementedError


def rebalanced_cross_entropy(logits, index, weight, class_weight):
    """The paper's loss: a pixel counts v, and pixels of colourless photos do not count at all.

        L = -1/P' sum over pixels of  v sum over q of Z_q log softmax(z)_q
        v = class_weight of the bin with the pixel's largest Z

    logits: (N, h, w, Q). index: (N, h, w, K) int, the bin with the largest Z first.
    weight: (N, h, w, K), of sum 1; or all 0 for a pixel that does not count. P' is the number of
    pixels that count; if none does, L and its gradient are 0. class_weight: (Q,).
    Returns L, the same with every v = 1 (a number), and dL/dz, (N, h, w, Q).
    """
    raise NotImplementedError
