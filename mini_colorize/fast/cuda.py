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
from .kernels import REAL, bias_relu_backward, cdiv, check, prepared, ready, room, vector_width
from .memory import constant, freeze, frozen, number, padded, whole

LINEAR_FROM_XYZ = color.LINEAR_FROM_XYZ.astype(np.float32)

conv_transpose2d = partial(convolution.conv_transpose2d, steps_cuda)
conv_transpose2d_backward = partial(convolution.conv_transpose2d_backward, steps_cuda)
batchnorm = partial(_batchnorm.batchnorm, kernels)
batchnorm_inference = partial(_batchnorm.batchnorm_inference, kernels)
batchnorm_backward = partial(_batchnorm.batchnorm_backward, kernels)


def conv2d(x, weight, bias, *, stride=1, dilation=1, padding=0, fill=0, relu=False):
    """The same as in chapter 4. The rows of logits are padded, with zeros: see memory.padded."""
    options = {"stride": stride, "dilation": dilation, "padding": padding, "fill": fill}
    if relu or not _gives_logits(weight):
        return convolution.conv2d(steps_cuda, x, weight, bias, relu=relu, **options)
    wide = _padded(weight, bias)
    return convolution.conv2d(steps_cuda, x, *wide, **options)[..., : weight.shape[3]]


def _gives_logits(weight):
    c_out = weight.shape[3]
    return weight.shape[:2] == (1, 1) and c_out > 8 and c_out != padded(c_out)


def _padded(*arrays):
    """Each array (..., C) with zeros behind it, (..., padded(C)); kept with a first one that is
    frozen."""
    made, key = frozen(arrays[0]), ("padded", len(arrays))
    if made is not None and key in made:
        return made[key]
    wide = []
    for array in arrays:
        c = array.shape[-1]
        wide.append(array_module(array).zeros((*array.shape[:-1], padded(c)), array.dtype))
        wide[-1][..., :c] = array
    if made is not None:
        made[key] = wide
    return wide


def conv2d_backward(dy, x, weight, *, stride=1, dilation=1, padding=0, input_gradient=True):
    """The same as in chapter 4; of float16, dW is float32."""
    c_out = weight.shape[3]
    if _gives_logits(weight) and (rows := whole(dy)) is not dy:
        dy, (weight,) = rows, _padded(weight)
    options = {"stride": stride, "dilation": dilation, "padding": padding}
    options["input_gradient"] = input_gradient
    dx, dweight = convolution.conv2d_backward(steps_cuda, dy, x, weight, **options)
    return dx, dweight[..., :c_out]


@prepared
def _crops_to_lab(rgb):
    every = color.EVERY
    n, height, width, _ = rgb.shape
    check(np.uint8, (n, height, width, 3), rgb=rgb)
    rows, columns = (len(range(*every.indices(side))) for side in (height, width))
    x, ab = room(rgb, n, height, width, 1), room(rgb, n, rows, columns, 2)
    pixels, defines = n * height * width, {"STEP": every.step, "OFFSET": every.start}
    numbers = height, width, np.int64(pixels)
    launch = ready("crops_to_lab", cdiv(pixels), rgb, *numbers, **defines)
    constants = constant(color.LINEAR_FROM_BYTE, rgb), constant(color.XYZ_OVER_WHITE, rgb)
    return launch, constants, x, ab


def crops_to_lab(rgb):
    """The same as in chapter 1."""
    launch, constants, x, ab = _crops_to_lab((rgb,))
    x, ab = x(), ab()
    launch(rgb, *constants, x, ab)
    return x, ab


@prepared
def _lab_to_rgb(lab):
    check(np.float32, lab.shape[:-1] + (3,), lab=lab)
    pixels = lab.size // 3
    launch = ready("lab_to_rgb", cdiv(pixels), lab, np.int64(pixels))
    return launch, constant(LINEAR_FROM_XYZ, lab), room(lab, *lab.shape)


def lab_to_rgb(lab):
    """The same as in chapter 1."""
    launch, linear, rgb = _lab_to_rgb((lab,))
    rgb = rgb()
    launch(lab, linear, rgb)
    return rgb


@prepared
def _soft_encode(ab, k, sigma):
    pixels, table = ab.size // 2, candidates(k)
    check(np.float32, ab.shape[:-1] + (2,), ab=ab)
    constants, shape = (constant(bins.BINS, ab), constant(table, ab)), ab.shape[:-1] + (k,)
    numbers = np.int64(pixels), table.shape[2], 1 / (2 * sigma**2)
    defines = {"K": k, "Q": len(bins.BINS), "CELL": CELL, "REACH": REACH}
    launch = ready("soft_encode", cdiv(pixels), ab, *numbers, **defines)
    return launch, constants, room(ab, *shape, dtype=np.int32), room(ab, *shape)


def soft_encode(ab, k=bins.K, sigma=bins.SIGMA):
    """The same as in chapter 2."""
    launch, constants, index, weight = _soft_encode((ab,), k, sigma)
    index, weight = index(), weight()
    launch(ab, *constants, index, weight)
    return index, weight


@prepared
def _annealed_mean(rows, q, temperature):
    check(REAL, logits=rows)
    if q != len(bins.BINS):
        raise ValueError(f"{q} logits a pixel for {len(bins.BINS)} bins")
    bins.check_temperature(temperature)
    xp, (pixels, blocks, defines) = array_module(rows), _rows(rows, q)
    mode = bool(np.float32(temperature) == 0)
    # Neither infinite nor 0 in float32: 0 times infinity would be no number.
    slope = 0.0 if mode else min(max(np.log2(np.e) / temperature, 1.2e-38), 3.4e38)
    grid = min(blocks, 8 * _multiprocessors(xp))
    launch = ready("annealed_mean", grid, rows, pixels, slope, MODE=int(mode), **defines)
    ab = room(rows, *rows.shape[:-1], 2, dtype=rows.dtype)
    return launch, constant(bins.BINS, rows), ab


def annealed_mean(logits, temperature=bins.TEMPERATURE):
    """The same as in chapter 2."""
    rows = whole(logits)
    launch, all_bins, ab = _annealed_mean((rows,), logits.shape[-1], temperature)
    ab = ab()
    launch(rows, all_bins, ab)
    return ab


def _rows(rows, q):
    """Of rows of q logits and their padding: how many; the blocks of a kernel that gives a row 8
    lanes or, number by number, 32; the #defines (see rows.cuh)."""
    pitch = rows.shape[-1]
    pixels, vec = rows.size // pitch, vector_width(pitch, rows)
    defines = {"Q": q, "PITCH": pitch, "VEC": vec}
    return np.int64(pixels), cdiv(pixels, 32 if vec > 1 else 8), defines


@cache
def _multiprocessors(xp):
    return xp.cuda.runtime.getDeviceProperties(xp.cuda.Device().id)["multiProcessorCount"]


@prepared
def _upsample(x, size, top, bottom):
    n, h, w, channels = x.shape
    check(np.float32, x=x)
    height, width = size
    shape = n, bottom - top, width, channels
    pixels = n * (bottom - top) * width
    numbers = h, w, height, width, top, bottom - top, channels, np.int64(pixels)
    return ready("upsample", cdiv(pixels), x, *numbers), room(x, *shape)


def upsample(x, size, rows=slice(None)):
    """The same as in chapter 11."""
    top, bottom, _ = rows.indices(size[0])
    launch, y = _upsample((x,), tuple(size), top, bottom)
    y = y()
    launch(x, y)
    return y


@prepared
def _softmax_cross_entropy(rows, index, weight, class_weight, scale, q):
    pixels, blocks, defines = _rows(rows, q)
    shape = *rows.shape[:-1], index.shape[-1]
    if shape[-1] > 32:
        raise ValueError(f"{shape[-1]} neighbours: a warp has room for 32")
    check(REAL, logits=rows)
    check(np.int32, shape, index=index)
    check(np.float32, shape, weight=weight)
    check(np.float32, (q,), class_weight=class_weight)
    check(np.float32, (), scale=scale)
    launch = ready("softmax_cross_entropy", blocks, rows, pixels, K=shape[-1], **defines)
    return launch, room(rows, pixels), array_module(rows).maximum


def softmax_cross_entropy(logits, index, weight, class_weight, scale=1):
    """The same as in chapter 7; the gradient is written over the logits. scale: also () float32."""
    rows, scale = whole(logits), number(scale, logits)
    given = index, weight, class_weight
    launch, vector, maximum = _softmax_cross_entropy((rows, *given, scale), logits.shape[-1])
    valid = (weight[..., 0] > 0).sum(dtype=np.int64)
    cross_entropy, weighted = vector(), vector()
    launch(rows, rows, *given, valid, scale, cross_entropy, weighted)
    valid = maximum(valid, 1)
    sums = (n.sum(dtype=np.float64) / valid for n in (weighted, cross_entropy))
    return Loss(*sums, logits)


@prepared
def _adam(p, g, m, v, scale, overflow, rates, *numbers):
    check(np.float32, (p.size,), p=p, g=g, m=m, v=v)
    check(np.float32, (), scale=scale)
    check(np.int32, (), overflow=overflow)
    check(np.float32, (2,), rates=rates)
    decayed, *numbers = numbers
    numbers = np.int64(p.size), np.int64(decayed), *map(float, numbers)
    return ready("adam", cdiv(p.size), p, *numbers)


def adam(p, g, m, v, *, rates, betas, eps, decay, decayed, scale, overflow):
    """The same as in chapter 9; p, m and v are written over. rates: also (2,) float32."""
    scale, overflow = number(scale, p), number(overflow, p, np.int32)
    rates = device_numbers(rates, array_module(p)) if isinstance(rates, tuple) else rates
    arrays = p, g, m, v, scale, overflow, rates
    _adam(arrays, decayed, decay, *betas, eps)(*arrays)
    return p, m, v


@prepared
def _moving_average(average, now, share):
    check(np.float32, (average.size,), average=average, now=now)
    check(np.float32, (), share=share)
    return ready("moving_average", cdiv(average.size), average, np.int64(average.size))


def moving_average(average, now, share):
    """The same as in chapter 9, written over `average`. share: also () float32."""
    arrays = average, now, number(share, now)
    _moving_average(arrays)(*arrays)
    return average


@prepared
def _find_overflow(x):
    check(np.float32, (x.size,), x=x)
    launch = ready("find_overflow", min(cdiv(x.size), 1024), x, np.int64(x.size))
    return launch, partial(array_module(x).zeros, (), np.int32)


def find_overflow(x):
    """The same as in chapter 9."""
    launch, overflow = _find_overflow((x,))
    overflow = overflow()
    launch(x, overflow)
    return overflow
