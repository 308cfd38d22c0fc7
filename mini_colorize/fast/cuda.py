"""The twins on a GPU: names and signatures of the chapters, by the kernels of kernels/*.cu.

As in cpu.py, a twin may give back its result in the memory of its last gradient argument, or of
the logits, and Adam and the moving average write over what they update.
"""

from contextlib import nullcontext as at_work
from functools import cache

import numpy as np

from .. import bins, color
from ..backend import array_module, device_copy, device_numbers
from ..losses import Loss, l2_loss
from . import kernels
from .batchnorm import batchnorm, batchnorm_backward, batchnorm_inference
from .bins import CELL, REACH, candidates
from .convolution import conv2d, conv2d_backward, conv_transpose2d, conv_transpose2d_backward
from .kernels import find_overflow, upsample
from .memory import freeze

LINEAR_FROM_XYZ = color.LINEAR_FROM_XYZ.astype(np.float32)


def _on_device(number, dtype, xp):
    """A Python number as a () array on the device, kept there; an array as it is."""
    return device_copy(_array(number, dtype), xp) if isinstance(number, (int, float)) else number


@cache
def _array(number, dtype):
    return np.array(number, dtype)


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
    scale = _on_device(scale, np.float32, xp)
    pixels, *sums = kernels.softmax_cross_entropy(z, index, weight, class_weight, scale)
    pixels = xp.maximum(pixels, 1)
    values = (n.sum(dtype=np.float64) / pixels for n in sums)
    return Loss(*values, z.reshape(logits.shape))


def adam(p, g, m, v, *, rates, betas, eps, decay, decayed, scale, overflow):
    """The same as in chapter 9; p, m and v are written over. rates: also (2,) float32."""
    xp = array_module(p)
    scale, overflow = _on_device(scale, np.float32, xp), _on_device(overflow, np.int32, xp)
    rates = device_numbers(rates, xp) if isinstance(rates, tuple) else rates
    kernels.adam(p, g, m, v, scale, overflow, rates, decayed, decay, betas, eps)
    return p, m, v


def moving_average(average, now, share):
    """The same as in chapter 9, written over `average`. share: also () float32."""
    kernels.moving_average(average, now, _on_device(share, np.float32, array_module(now)))
    return average
