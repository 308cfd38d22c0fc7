"""The twins on a GPU: names and signatures of the chapters, by the kernels of kernels/*.cu.

As in cpu.py, a twin may give back its result in the memory of its last gradient argument, or of
the logits, and Adam and the moving average write over what they update.

Notation
    P   pixels      Q   bins      K   neighbours
"""

from contextlib import nullcontext as at_work
from functools import cache, partial

import numpy as np

from .. import bins, color
from ..backend import array_module, device_numbers
from ..losses import Loss, l2_loss
from . import batchnorm as _batchnorm
from . import convolution, kernels, steps_cuda
from .bins import CELL, REACH, candidates
from .kernels import REAL, bias_relu_backward, cdiv, check, launch
from .memory import constant, freeze, number

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
    xp, every = array_module(rgb), color.EVERY
    n, height, width, _ = rgb.shape
    check(np.uint8, (n, height, width, 3), rgb=rgb)
    x = xp.empty((n, height, width, 1), np.float32)
    rows, columns = (len(range(*every.indices(side))) for side in (height, width))
    ab = xp.empty((n, rows, columns, 2), np.float32)
    constants = constant(color.LINEAR_FROM_BYTE, rgb), constant(color.XYZ_OVER_WHITE, rgb)
    sizes, defines = (height, width, np.int64(x.size)), {"STEP": every.step, "OFFSET": every.start}
    launch("crops_to_lab", cdiv(x.size), rgb, *constants, x, ab, *sizes, **defines)
    return x, ab


def lab_to_rgb(lab):
    """The same as in chapter 1."""
    rgb, pixels = array_module(lab).empty_like(lab), lab.size // 3
    check(np.float32, lab.shape[:-1] + (3,), lab=lab)
    launch("lab_to_rgb", cdiv(pixels), lab, constant(LINEAR_FROM_XYZ, lab), rgb, np.int64(pixels))
    return rgb


def soft_encode(ab, k=bins.K, sigma=bins.SIGMA):
    """The same as in chapter 2."""
    xp, pixels, table = array_module(ab), ab.size // 2, candidates(k)
    check(np.float32, ab.shape[:-1] + (2,), ab=ab)
    index = xp.empty(ab.shape[:-1] + (k,), np.int32)
    weight = xp.empty(index.shape, np.float32)
    arrays = ab, constant(bins.BINS, ab), constant(table, ab), index, weight
    numbers = np.int64(pixels), table.shape[2], 1 / (2 * sigma**2)
    defines = {"K": k, "Q": len(bins.BINS), "CELL": CELL, "REACH": REACH}
    launch("soft_encode", cdiv(pixels), *arrays, *numbers, **defines)
    return index, weight


def annealed_mean(logits, temperature=bins.TEMPERATURE):
    """The same as in chapter 2."""
    xp, q = array_module(logits), len(bins.BINS)
    bins.check_temperature(temperature)
    check(REAL, logits.shape[:-1] + (q,), logits=logits)
    ab = xp.empty(logits.shape[:-1] + (2,), logits.dtype)
    pixels = ab.size // 2
    mode = bool(np.float32(temperature) == 0)
    # At most the largest float32: a difference of 0 times infinity would be no number.
    slope = 0.0 if mode else min(np.log2(np.e) / temperature, 3.4e38)
    grid = min(cdiv(pixels, 8), 8 * _multiprocessors(xp))
    args = logits, constant(bins.BINS, logits), ab, np.int64(pixels), float(slope)
    launch("annealed_mean", grid, *args, Q=q, MODE=int(mode))
    return ab


@cache
def _multiprocessors(xp):
    return xp.cuda.runtime.getDeviceProperties(xp.cuda.Device().id)["multiProcessorCount"]


def upsample(x, size, rows=slice(None)):
    """The same as in chapter 11."""
    n, h, w, channels = x.shape
    check(np.float32, x=x)
    height, width = size
    top, bottom, _ = rows.indices(height)
    y = array_module(x).empty((n, bottom - top, width, channels), np.float32)
    pixels = y.size // channels
    numbers = h, w, height, width, top, bottom - top, channels, np.int64(pixels)
    launch("upsample", cdiv(pixels), x, y, *numbers)
    return y


def softmax_cross_entropy(logits, index, weight, class_weight, scale=1):
    """The same as in chapter 7; the gradient is written over the logits. scale: also () float32."""
    xp, q, k = array_module(logits), logits.shape[-1], index.shape[-1]
    if k > 32:
        raise ValueError(f"{k} neighbours: a warp has room for 32")
    z, index, weight = logits.reshape(-1, q), index.reshape(-1, k), weight.reshape(-1, k)
    pixels, scale = len(z), number(scale, z)
    check(REAL, logits=z)
    check(np.int32, (pixels, k), index=index)
    check(np.float32, (pixels, k), weight=weight)
    check(np.float32, (q,), class_weight=class_weight)
    check(np.float32, (), scale=scale)
    valid = (weight[:, 0] > 0).sum(dtype=np.int64)
    cross_entropy, weighted = xp.empty(pixels, np.float32), xp.empty(pixels, np.float32)
    given = z, z, index, weight, class_weight, valid, scale
    args = *given, cross_entropy, weighted, np.int64(pixels)
    launch("softmax_cross_entropy", cdiv(pixels, 8), *args, Q=q, K=k)
    valid = xp.maximum(valid, 1)
    sums = (n.sum(dtype=np.float64) / valid for n in (weighted, cross_entropy))
    return Loss(*sums, z.reshape(logits.shape))


def adam(p, g, m, v, *, rates, betas, eps, decay, decayed, scale, overflow):
    """The same as in chapter 9; p, m and v are written over. rates: also (2,) float32."""
    scale, overflow = number(scale, p), number(overflow, p, np.int32)
    rates = device_numbers(rates, array_module(p)) if isinstance(rates, tuple) else rates
    check(np.float32, (p.size,), p=p, g=g, m=m, v=v)
    check(np.float32, (), scale=scale)
    check(np.int32, (), overflow=overflow)
    check(np.float32, (2,), rates=rates)
    numbers = np.int64(p.size), np.int64(decayed), *map(float, (decay, *betas, eps))
    launch("adam", cdiv(p.size), p, g, m, v, scale, overflow, rates, *numbers)
    return p, m, v


def moving_average(average, now, share):
    """The same as in chapter 9, written over `average`. share: also () float32."""
    share = number(share, now)
    check(np.float32, (average.size,), average=average, now=now)
    check(np.float32, (), share=share)
    launch("moving_average", cdiv(average.size), average, now, share, np.int64(average.size))
    return average


def find_overflow(x):
    """The same as in chapter 9."""
    check(np.float32, (x.size,), x=x)
    overflow = array_module(x).zeros((), np.int32)
    launch("find_overflow", min(cdiv(x.size), 1024), x, overflow, np.int64(x.size))
    return overflow
