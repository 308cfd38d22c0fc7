"""Convolution as gather + matrix multiplication, by blocks: chapters 4 and 5 for large pictures.

The columns (the windows of chapter 4, laid out) are made block by block; neither they nor their
product exceed a cap, whatever the picture's size. On the CPU every thread takes a block at a time.
A transposed convolution is the gradient of a convolution to its input, so three functions are all
that both need:

    correlate           y  = columns(x) W                     conv2d
    correlate_adjoint   dx = columns(dy) W', per phase        conv2d_backward, to the input
    weight_gradient     dW = columns(x)^T dy                  conv2d_backward, to the weights

Notation: as in chapter 4, and
    steps   what the CPU and a GPU each do in their own way: the module steps_cpu or steps_cuda
"""

from math import gcd
from typing import NamedTuple

import numpy as np

from ..backend import array_module, matmul
from ..layers.conv import output_size
from .threads import split


class Taps(NamedTuple):
    """Along one axis, position o reads pixels o * stride + start + i * step, i = 0 .. count-1."""

    start: int
    step: int
    count: int
    stride: int


def _pixel_blocks(steps, x, shape, taps, c_out):
    """Cut the output pixels into blocks whose columns, and their products, fit WORK_BYTES.

    shape: (n, h, w) of the output. Whole pictures if they fit, else whole rows, else parts of a
    row. They are nearly equal, so that no thread has more to do. Yields three slices.
    """
    n, h, w = shape
    pixels = max(1, steps.WORK_BYTES // (max(taps * x.shape[3], c_out) * x.dtype.itemsize))
    pixels = min(pixels, -(-n * h * w // steps.THREADS))  # one for every thread
    for i in split(n, pixels // (h * w)):
        for r in split(h, pixels // w):
            for c in split(w, pixels):
                yield i, r, c


def gather(steps, x, rows, cols, block, fill=0):
    """The columns of one block of output pixels.

    x: (N, H, W, C). rows, cols: Taps. block: slices of pictures, output rows, output columns.
    fill: value of the pixels outside x, a number or (C,).
    Returns (pixels of the block, rows.count * cols.count * C), x's dtype; on the CPU it is valid
    until the thread's next call.
    """
    _, r, c = block
    one_tap = all((t.start, t.count, t.stride) == (0, 1, 1) for t in (rows, cols))
    if one_tap and r.stop <= x.shape[1] and c.stop <= x.shape[2]:
        return x[block].reshape(-1, x.shape[3])  # the pixels themselves
    return steps.columns(x, rows, cols, block, fill)


def _multiply(steps, x, work, bias, relu, fill=0):
    """y[block] = columns @ matrix, with bias and ReLU while the product is still in the cache.

    work: (rows, cols, block, matrix, y) of each product. Straight into y where the block is
    contiguous there, else by way of a copy.
    """

    def one(item):
        rows, cols, block, matrix, y = item
        columns, part = gather(steps, x, rows, cols, block, fill), y[block]
        shape, straight = (len(columns), y.shape[3]), part.flags.c_contiguous
        product = part.reshape(shape) if straight else steps.scratch("product", shape, y)
        matmul(columns, matrix, out=product)
        if bias is not None:
            steps.bias_relu(product, bias, relu)
        if not straight:
            part[...] = product.reshape(part.shape)

    steps.each(one, work)


def correlate(steps, x, weight, bias=None, *, stride=1, dilation=1, padding=0, fill=0, relu=False):
    """The convolution itself (without flipping the filter, as everyone in this field does).

    x: (N, H, W, C_in). weight: (kh, kw, C_in, C_out), x's dtype. bias: (C_out,) or None.
    fill: value of the padding, a number or (C_in,). relu: clamp at 0, with a bias only.
    Returns (N, Ho, Wo, C_out), x's dtype.
    """
    kh, kw, _, c_out = weight.shape
    n, h, w, _ = x.shape
    ho = output_size(h, kh, stride, dilation, padding)
    wo = output_size(w, kw, stride, dilation, padding)
    rows, cols = Taps(-padding, dilation, kh, stride), Taps(-padding, dilation, kw, stride)
    y = steps.empty((n, ho, wo, c_out), x)
    matrix = weight.reshape(-1, c_out)
    blocks = _pixel_blocks(steps, x, (n, ho, wo), kh * kw, c_out)
    _multiply(steps, x, [(rows, cols, block, matrix, y) for block in blocks], bias, relu, fill)
    return y


def _phase_taps(kernel, stride, dilation, padding, phase):
    """Which taps reach the input pixels  t * stride + phase, and which outputs they come from.

    Input pixel q is read by output o through tap i if  q = o s - p + i d. For q = t s + phase,
        o = t + (phase + p - i d) / s,
    so only the taps that make this whole take part: every s/gcd(s, d)-th, and o falls by
    d/gcd(s, d) from one to the next.
    Returns (slice of the taps in order of rising o, Taps over the outputs), or (None, None).
    """
    taps = [i for i in range(kernel) if (phase + padding - i * dilation) % stride == 0][::-1]
    if not taps:
        return None, None
    start = (phase + padding - taps[0] * dilation) // stride
    step = dilation // gcd(stride, dilation)
    return slice(taps[0], None, -(stride // gcd(stride, dilation))), Taps(start, step, len(taps), 1)


def correlate_adjoint(
    steps, y, weight, size, bias=None, *, stride=1, dilation=1, padding=0, relu=False
):
    """The adjoint of `correlate`: scatters every output pixel back to the inputs it was read from.

        x[q] = sum over taps i, j and outputs o with q = o s - p + i d of  y[o] W[i, j]^T

    Written as a gather, phase by phase (q mod s): within one phase it is a plain stride-1
    convolution with a part of the filter. For stride 1 there is one phase: the flipped filter.
    y: (N, Ho, Wo, C_out). weight: (kh, kw, C_in, C_out), y's dtype. size: (H, W).
    bias: (C_in,) or None. relu: clamp at 0, with a bias only.
    Returns (N, H, W, C_in), y's dtype.
    """
    kh, kw, c_in, _ = weight.shape
    x = steps.empty((len(y), *size, c_in), y)
    work = []  # of all phases, for the threads to share
    for a in range(min(stride, size[0])):
        i, rows = _phase_taps(kh, stride, dilation, padding, a)
        for b in range(min(stride, size[1])):
            j, cols = _phase_taps(kw, stride, dilation, padding, b)
            phase = x[:, a::stride, b::stride]
            if i is None or j is None:  # no filter reaches these pixels
                phase[...] = 0 if bias is None else bias * (bias > 0) if relu else bias
                continue
            matrix = weight[i, j].swapaxes(2, 3).reshape(-1, c_in)
            for block in _pixel_blocks(steps, y, phase.shape[:3], rows.count * cols.count, c_in):
                work.append((rows, cols, block, matrix, phase))
    _multiply(steps, y, work, bias, relu)
    return x


def weight_gradient(steps, x, dy, kernel, *, stride=1, dilation=1, padding=0):
    """Gradient of sum(dy * correlate(x, W)) to W.

    x: (N, H, W, C_in). dy: (N, Ho, Wo, C_out). kernel: (kh, kw).
    Returns (kh, kw, C_in, C_out), x's dtype, but float32 for float16.
    """
    kh, kw = kernel
    shape = (kh, kw, x.shape[3], dy.shape[3])
    xp, dtype = array_module(x), np.float64 if x.dtype == np.float64 else np.float32
    rows, cols = Taps(-padding, dilation, kh, stride), Taps(-padding, dilation, kw, stride)
    blocks = list(_pixel_blocks(steps, x, dy.shape[:3], kh * kw, 0))

    # Each thread sums up blocks of its own, always the same ones, so that runs can be repeated.
    count = min(len(blocks), steps.THREADS)
    sums = [xp.empty(shape, dtype) for _ in range(count)]

    def add(k):
        total, more = sums[k].reshape(-1, shape[3]), False
        for block in blocks[k::count]:
            columns = gather(steps, x, rows, cols, block)
            matmul(columns.T, dy[block].reshape(len(columns), -1), out=total, accumulate=more)
            more = True

    steps.each(add, range(count))
    out, *others = sums
    for more in others:
        out += more
    return out
