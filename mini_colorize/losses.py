"""Chapter 4: the losses, each with its gradient in the same pass.

Notation
    N, h, w   pictures and their logit pixels; P = N h w pixels in all, P' of them counted
    Q         bins                          z       logits, (N, h, w, Q)
    Z         soft-encoded truth, as K indices and K weights a pixel (chapter 2)
    v         class weight of a pixel, that of its largest Z (equation 3 of the paper)
"""

from typing import NamedTuple

import numpy as np

from . import kernels
from .backend import array_module, device_copy
from .threads import run, split

CHUNK = 2048  # pixels a thread treats at a time: with fewer, threads wait for Python's lock; with
# more, the logits (2.6 MB of float32) leave the cache between the passes

_ONE = np.array(1, np.float32)


class Loss(NamedTuple):
    """What a loss returns. The two values are 0-d arrays on the device: reading them waits."""

    weighted: np.ndarray
    unweighted: np.ndarray
    gradient: np.ndarray


def softmax_cross_entropy(logits, index, weight, class_weight, scale=None):
    """Softmax cross-entropy against a K-sparse soft target (equation 2 of the paper).

        L = -1/P' sum over pixels of  v sum_q Z_q log softmax(z)_q
        dL/dz_q = v / P' (softmax(z)_q - Z_q)

    logits: (N, h, w, Q) float, **overwritten**: the gradient takes their place.
    index: (N, h, w, K) int, nearest first.
    weight: (N, h, w, K) float, of sum 1; or all 0 for a pixel that does not count (a photo
    without colour), which then adds nothing to the loss, the gradient or P'.
    class_weight: (Q,) float; ones give the unweighted loss.
    scale: () float32 array, factor of the gradient (see optim.LossScale), or None for 1.
    Returns Loss: the loss with v, the same with v = 1 in nats a pixel, the gradient.
    """
    xp = array_module(logits)
    q, k = logits.shape[-1], index.shape[-1]
    z, index, weight = logits.reshape(-1, q), index.reshape(-1, k), weight.reshape(-1, k)
    scale = device_copy(_ONE, xp) if scale is None else scale
    if xp is not np:
        counted, *nats = kernels.softmax_cross_entropy(z, index, weight, class_weight, scale)
        counted = xp.maximum(counted, 1)
        weighted, unweighted = (n.sum(dtype=np.float64) / counted for n in nats)
        return Loss(weighted, unweighted, z.reshape(logits.shape))
    counted = np.maximum((weight[:, 0] > 0).sum(), 1)
    nats, weighted = np.empty((2, len(z)), z.dtype)

    def one(part):
        rows, target, share = z[part], index[part].astype(np.int64), weight[part]
        v = class_weight[target[:, 0]]
        rows -= rows.max(-1, keepdims=True)
        picked = np.take_along_axis(rows, target, -1)
        np.exp(rows, out=rows)
        total = (rows @ ones)[:, None]
        nats[part] = (share * (np.log(total) - picked)).sum(-1)  # -sum_q Z_q log softmax_q
        weighted[part] = v * nats[part]
        factor = (v * scale * (share[:, 0] > 0) / counted).astype(rows.dtype)[:, None]
        rows *= factor / total
        each = np.arange(len(rows))[:, None]
        rows[each, target] -= factor * share  # the K bins of a pixel differ: no index twice

    ones = np.ones(q, z.dtype)  # a product with it is a sum over bins, and BLAS's is fast
    run(one, split(len(z), CHUNK))
    sums = (n.sum(dtype=np.float64) / counted for n in (weighted, nats))
    return Loss(*sums, z.reshape(logits.shape))


def l2_loss(prediction, truth, counted=None, scale=None):
    """The regression baseline (equation 1 of the paper), averaged over pixels.

        L = 1/P' sum over counted pixels of 1/2 |ab - ab_hat|^2,   dL/d ab_hat = (ab_hat - ab) / P'

    prediction, truth: (N, h, w, 2) float, in any unit, the same for both.
    counted: (N,) bool, False for a picture without colour; None counts all.
    scale: () float32 array, factor of the gradient (see optim.LossScale), or None for 1.
    Returns Loss: twice the same value, in that unit squared, and the gradient, prediction's dtype.
    """
    xp = array_module(prediction)
    pixels = prediction.size // 2
    gradient = prediction.astype(truth.dtype) - truth
    if counted is not None:
        gradient *= counted[:, None, None, None]
        pixels = xp.maximum(counted.sum() * (pixels // len(prediction)), 1)
    value = 0.5 * xp.square(gradient).sum(dtype=np.float64) / pixels
    gradient *= (1 if scale is None else scale) / pixels
    return Loss(value, value, gradient.astype(prediction.dtype, copy=False))
