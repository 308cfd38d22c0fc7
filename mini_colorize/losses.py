"""Chapter 7: the losses, each with its gradient. The paper: see chapter 2.

Notation
    N, h, w   pictures and their logit pixels
    P'        pixels that count (the mask: their weights are not all 0), at least 1
    Q         bins                          z       logits, (N, h, w, Q)
    Z         soft-encoded truth, as K indices and K weights a pixel (chapter 2)
    v         class weight of a pixel, that of its largest Z (equation 3 of the paper)
"""

from typing import NamedTuple

import numpy as np


class Loss(NamedTuple):
    """What a loss returns. The two values are 0-d arrays; on a GPU reading them waits for it."""

    weighted: np.ndarray
    unweighted: np.ndarray
    gradient: np.ndarray


def softmax_cross_entropy(logits, index, weight, class_weight, scale=1):
    """Softmax cross-entropy against a K-sparse soft target (equation 2 of the paper).

        L = -1/P' sum over pixels of  v sum_q Z_q log softmax(z)_q
        dL/dz_q = v / P' (softmax(z)_q - Z_q)

    (The derivative of log softmax(z)_q to z_r is [q = r] - softmax(z)_r, and the Z_q sum to 1; v
    depends on the truth only. The mean over pixels is ours: the paper's loss is a sum.)
    logits: (N, h, w, Q) float.
    index: (N, h, w, K) int, nearest first: so the first has the largest Z.
    weight: (N, h, w, K) float, of sum 1; or all 0 for a pixel outside the mask (of a photo
    without colour), which then adds nothing to the loss, the gradient or P'.
    class_weight: (Q,) float; ones give the unweighted loss.
    scale: () float, factor of the gradient only, against underflow in float16 (chapter 9's s).
    Returns Loss: the loss with v, the same with v = 1 in nats a pixel, the gradient.
    """
    mask = weight[..., 0] > 0
    pixels = max(mask.sum(), 1)
    shifted = logits - logits.max(axis=-1, keepdims=True)  # exp cannot overflow
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    cross_entropy = -(weight * np.take_along_axis(log_softmax, index, axis=-1)).sum(axis=-1)
    v = class_weight[index[..., 0]] * mask
    weighted = (v * cross_entropy).sum(dtype=np.float64) / pixels
    unweighted = cross_entropy.sum(dtype=np.float64) / pixels
    softmax, target = np.exp(log_softmax), np.zeros_like(logits)
    np.put_along_axis(target, index, weight.astype(logits.dtype), axis=-1)  # Z in full
    gradient = (scale * v / pixels)[..., None] * (softmax - target)
    return Loss(weighted, unweighted, gradient.astype(logits.dtype))


def l2_loss(prediction, truth, mask, scale=1):
    """The regression baseline (equation 1 of the paper), averaged over pixels.

        L = 1/P' sum over the mask of 1/2 |ab - ab_hat|^2,   dL/d ab_hat = (ab_hat - ab) / P'

    prediction, truth: ab_hat and ab, (N, h, w, 2) float, in any unit, the same for both.
    mask: (N,) bool, False for a picture without colour, which adds nothing.
    scale: () float, factor of the gradient only.
    Returns Loss: the one value in both places, in that unit squared, and the gradient, prediction's
    dtype. It is computed in truth's dtype, as the prediction may be float16. (On a GPU, too: these
    lines are all there is, and CuPy reads them as they stand.)
    """
    pixels = (mask.sum() * prediction[0, ..., 0].size).clip(1)
    difference = (prediction.astype(truth.dtype) - truth) * mask[:, None, None, None]
    value = 0.5 * (difference**2).sum(dtype=np.float64) / pixels
    gradient = difference * (scale / pixels)
    return Loss(value, value, gradient.astype(prediction.dtype))
