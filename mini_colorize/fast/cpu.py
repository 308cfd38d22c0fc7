"""The twins on the CPU: names and signatures of the chapters, by all threads.

A twin may give back its result in the memory of its last gradient argument, or of the logits; so
use what is returned, never the argument again. Adam and the moving average write over what they
update. What a twin adds up does not depend on the threads but for `weight_gradient` (gather.py),
whose sums are the same for the same number of threads.
"""

from functools import partial

import numpy as np

from ..color import crops_to_lab, lab_to_rgb
from ..layers.upsample import upsample
from ..losses import Loss, l2_loss
from ..optim import find_overflow
from . import batchnorm as _batchnorm
from . import convolution, pointwise, steps_cpu
from .bins import annealed_mean, soft_encode
from .memory import freeze, scratch
from .pointwise import bias_relu_backward
from .threads import one_blas_thread as at_work
from .threads import parallel_for, split

LOSS_CHUNK = 2048  # pixels a thread treats at a time: with fewer, threads wait for Python's lock;
# with more, the logits (2.6 MB of float32) leave the cache between the passes
OPTIMIZER_CHUNK = 2**17  # numbers a thread treats at a time

conv2d = partial(convolution.conv2d, steps_cpu)
conv2d_backward = partial(convolution.conv2d_backward, steps_cpu)
conv_transpose2d = partial(convolution.conv_transpose2d, steps_cpu)
conv_transpose2d_backward = partial(convolution.conv_transpose2d_backward, steps_cpu)
batchnorm = partial(_batchnorm.batchnorm, pointwise)
batchnorm_inference = partial(_batchnorm.batchnorm_inference, pointwise)
batchnorm_backward = partial(_batchnorm.batchnorm_backward, pointwise)


def softmax_cross_entropy(logits, index, weight, class_weight, scale=1):
    """The same as in chapter 7; the gradient is written over the logits."""
    q, k = logits.shape[-1], index.shape[-1]
    z, index, weight = logits.reshape(-1, q), index.reshape(-1, k), weight.reshape(-1, k)
    pixels = np.maximum((weight[:, 0] > 0).sum(), 1)
    cross_entropy, weighted = np.empty((2, len(z)), z.dtype)

    def one(part):
        rows, target, share = z[part], index[part].astype(np.int64), weight[part]
        v = class_weight[target[:, 0]]
        rows -= rows.max(-1, keepdims=True)
        picked = np.take_along_axis(rows, target, -1)
        np.exp(rows, out=rows)
        total = (rows @ ones)[:, None]
        cross_entropy[part] = (share * (np.log(total) - picked)).sum(-1)
        weighted[part] = v * cross_entropy[part]
        factor = (v * scale * (share[:, 0] > 0) / pixels).astype(rows.dtype)[:, None]
        rows *= factor / total
        each = np.arange(len(rows))[:, None]
        rows[each, target] -= factor * share  # the K bins of a pixel differ: no index twice

    ones = np.ones(q, z.dtype)  # a product with it is a sum over bins, and BLAS's is fast
    parallel_for(one, split(len(z), LOSS_CHUNK))
    sums = (n.sum(dtype=np.float64) / pixels for n in (weighted, cross_entropy))
    return Loss(*sums, z.reshape(logits.shape))


def adam(p, g, m, v, *, rates, betas, eps, decay, decayed, scale, overflow):
    """The same as in chapter 9; p, m and v are written over."""
    if overflow:
        return p, m, v

    def one(part):
        work, root = scratch("adam", (2, part.stop - part.start), p.dtype)
        first = max(0, decayed - part.start)  # of these, so many decay
        rest = betas, *rates, eps, work, root
        _adam_chunk(p[part], g[part], m[part], v[part], scale, first, decay, *rest)

    parallel_for(one, split(len(p), OPTIMIZER_CHUNK))
    return p, m, v


def _adam_chunk(p, g, m, v, s, decayed, decay, betas, step_size, root_correction, eps, work, root):
    """`adam` on so few numbers that all stay in the cache; nothing is allocated."""
    np.divide(g, s, out=work)
    if decay and decayed:
        np.multiply(p[:decayed], decay, out=root[:decayed])
        work[:decayed] += root[:decayed]
    np.multiply(work, work, out=root)  # g^2
    v *= betas[1]
    root *= 1 - betas[1]
    v += root
    work -= m
    work *= 1 - betas[0]
    m += work
    np.sqrt(v, out=root)
    root /= root_correction
    root += eps
    np.divide(m, root, out=work)
    work *= step_size
    p -= work


def moving_average(average, now, share):
    """The same as in chapter 9, written over `average`."""

    def one(part):
        average[part] += share * (now[part] - average[part])

    parallel_for(one, split(len(average), OPTIMIZER_CHUNK))
    return average
