"""The twins on a GPU: names and signatures of the chapters, by the kernels of kernels/*.cu.

As in cpu.py, a twin may give back its result in the memory of its last gradient argument, or of
the logits, and Adam and the moving average write over what they update.
"""

from contextlib import nullcontext as at_work
from functools import partial

import numpy as np

from .. import bins, color
from ..backend import array_module, device_numbers
from ..losses import Loss, l2_loss
from . import batchnorm as _batchnorm
from . import convolution, kernels, steps_cuda
from .bins import CELL, REACH, candidates
from .kernels import find_overflow, upsample
from .memory import freeze, number

LINEAR_FROM_XYZ = color.LINEAR_FROM_XYZ.astype(np.float32)

conv2d = partial(convolution.conv2d, steps_cuda)
conv2d_backward = partial(convolution.conv2d_backward, steps_cuda)
conv_transpose2d = partial(convolution.conv_transpose2d, steps_cuda)
conv_transpose2d_backward = partial(convolution.conv_transpose2d_backward, steps_cuda)
batchnorm = partial(_batchnorm.batchnorm, kernels)
batchnorm_inference = partial(_batchnorm.batchnorm_inference, kernels)
batchnorm_backward = partial(_batchnorm.batchnorm_backward, kernels)


def crops_to_lab(rgb):
    """The same as in chapter 1."""
    return kernels.crops_to_lab(rgb, color.LINEAR_FROM_BYTE, color.XYZ_OVER_WHITE, *color.EVERY)


def lab_to_rgb(lab):
    """The same as in chapter 1."""
    return kernels.lab_to_rgb(lab, LINEAR_FROM_XYZ)


def soft_encode(ab, k=bins.K, sigma=bins.SIGMA):
    """The same as in chapter 2."""
    return kernels.soft_encode(ab, bins.BINS, candidates(k), CELL, REACH, k, sigma)


def annealed_mean(logits, temperature=bins.TEMPERATURE):
    """The same as in chapter 2."""
    return kernels.annealed_mean(logits, bins.BINS, bins.check_temperature(temperature))


def bias_relu_backward(dy, y, relu=True):
    """The same as in chapter 3; dx is written over dy."""
    return dy, kernels.bias_relu_backward(dy, y, relu)


def softmax_cross_entropy(logits, index, weight, class_weight, scale=1):
    """The same as in chapter 7; the gradient is written over the logits."""
    xp, q, k = array_module(logits), logits.shape[-1], index.shape[-1]
    z, index, weight = logits.reshape(-1, q), index.reshape(-1, k), weight.reshape(-1, k)
    scale = number(scale, xp)
    pixels, *sums = kernels.softmax_cross_entropy(z, index, weight, class_weight, scale)
    pixels = xp.maximum(pixels, 1)
    values = (n.sum(dtype=np.float64) / pixels for n in sums)
    return Loss(*values, z.reshape(logits.shape))


def adam(p, g, m, v, *, rates, betas, eps, decay, decayed, scale, overflow):
    """The same as in chapter 9; p, m and v are written over. rates: also (2,) float32."""
    xp = array_module(p)
    scale, overflow = number(scale, xp), number(overflow, xp, np.int32)
    rates = device_numbers(rates, xp) if isinstance(rates, tuple) else rates
    kernels.adam(p, g, m, v, scale, overflow, rates, decayed, decay, betas, eps)
    return p, m, v


def moving_average(average, now, share):
    """The same as in chapter 9, written over `average`. share: also () float32."""
    kernels.moving_average(average, now, number(share, array_module(now)))
    return average
