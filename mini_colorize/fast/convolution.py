"""The convolutions of chapters 4 and 5, by whichever of two ways is the faster one.

Gather + matrix product (gather.py) does any; Winograd (winograd.py) 3x3 filters at stride 1. A
transposed 4x4 convolution with stride 2 can be done by the second way, too. Sort its output pixels
by phase, even or odd in each direction: those of one phase see a 3x3 window of the input, of which
they use four pixels. So it is a 3x3 convolution to 4 C_out channels, C_out for each phase ("wide",
with 20 of 36 filter taps zero), and then every pixel's 4 C_out numbers are laid out as 2 x 2
pixels.

Notation: as in chapters 4 and 5, and
    m       the side of Winograd's tiles
    steps   what the CPU and a GPU each do in their own way: the module steps_cpu or steps_cuda
"""

from itertools import product
from math import prod

import numpy as np

from ..backend import tf32
from ..layers.conv import output_size
from ..layers.conv_transpose import transposed_size
from . import gather, winograd
from .memory import empty, frozen, is_frozen

GATHER = 0  # a plan; the others are Winograd's tiles, 2 and 4
WIDE_PIXELS = 1536  # see transposed_plan


def choose_plan(weight, pixels, stride=1, dtype=np.float32):
    """How to convolve: GATHER, or 2 or 4, the tile of Winograd's convolution.

    weight: its shape. pixels: of the output, all together. dtype: of the pictures. The rule: Winograd
    wherever it exists, 3x3 at stride 1, and pays for its transforms, from 16 channels and 512
    pixels on. Its 4x4 tiles lose a digit, which float32 can spare; numbers rounded to 10 bits
    cannot, so tf32 takes 2x2 tiles, and float16 gathers.
    """
    if (*weight[:2], stride) != (3, 3, 1) or min(weight[2:]) < 16 or pixels < 512:
        return GATHER
    return GATHER if dtype == np.float16 else 2 if tf32() else 4


def transposed_plan(weight, pixels, geometry, dtype=np.float32, kept=False):
    """The plan of conv_transpose2d on the CPU, where 2 and 4 are the wide convolution.

    weight: its shape. pixels: of the input. geometry: stride, dilation, padding. kept: the filters
    are transformed once for many pictures, be it the first: the wide ones are large, transforming
    them takes what WIDE_PIXELS save. A GPU gathers: its matrix products are fast, and large enough.
    """
    if (*weight[:2], *geometry) != (4, 4, 2, 1, 1) or pixels < WIDE_PIXELS and not kept:
        return GATHER
    return choose_plan((3, 3, weight[2], 4 * weight[3]), pixels, dtype=dtype)


def _filters(steps, weight, m, make):
    """make() transformed, at 4 times the memory, if something may be kept for the weight; else None."""
    made = frozen(weight)
    if made is not None and m not in made:
        made[m] = winograd.filter_transform(steps, make(), m)
    return made and made[m]


def conv2d(steps, x, weight, bias, *, stride=1, dilation=1, padding=0, fill=0, relu=False):
    """The same as in chapter 4."""
    sizes = zip(x.shape[1:3], weight.shape[:2], strict=True)
    pixels = len(x) * prod(output_size(side, k, stride, dilation, padding) for side, k in sizes)
    m = choose_plan(weight.shape, pixels, stride, x.dtype)
    options = {"dilation": dilation, "padding": padding, "fill": fill, "relu": relu}
    if m == GATHER:
        return gather.correlate(steps, x, weight, bias, stride=stride, **options)
    filters = _filters(steps, weight, m, lambda: weight)
    return winograd.correlate(steps, x, weight, bias, m=m, filters=filters, **options)


def conv2d_backward(steps, dy, x, weight, *, stride=1, dilation=1, padding=0, input_gradient=True):
    """The same as in chapter 4; of float16, dW is float32."""
    geometry = {"dilation": dilation, "padding": padding}
    pixels, dx = prod(dy.shape[:3]), None
    m = choose_plan(weight.shape, pixels, stride, x.dtype)
    if m == GATHER:
        dweight = gather.weight_gradient(steps, x, dy, weight.shape[:2], stride=stride, **geometry)
        if input_gradient:
            dx = gather.correlate_adjoint(
                steps, dy, weight, x.shape[1:3], stride=stride, **geometry
            )
    else:
        dweight = winograd.weight_gradient(steps, x, dy, m=m, **geometry)
        if input_gradient:
            dx = winograd.correlate_adjoint(steps, dy, weight, m=m, **geometry)
    return dx, dweight


def conv_transpose2d(steps, x, weight, bias, *, stride=1, dilation=1, padding=0, relu=False):
    """The same as in chapter 5."""
    geometry = stride, dilation, padding
    m = _transposed_plan(steps, x, weight, geometry, kept=is_frozen(weight))
    if m == GATHER:
        sizes = zip(x.shape[1:3], weight.shape[:2], strict=True)
        size = [transposed_size(side, k, *geometry) for side, k in sizes]
        mirror = weight.swapaxes(2, 3)  # of the convolution that this is the adjoint of
        options = {"stride": stride, "dilation": dilation, "padding": padding, "relu": relu}
        return gather.correlate_adjoint(steps, x, mirror, size, bias, **options)
    filters = _filters(steps, weight, m, lambda: wide_filter(weight))
    wide = wide_filter(weight) if filters is None else None
    options = {"m": m, "padding": 1, "relu": relu, "filters": filters}
    return phases_to_pixels(winograd.correlate(steps, x, wide, np.tile(bias, 4), **options))


def conv_transpose2d_backward(
    steps, dy, x, weight, *, stride=1, dilation=1, padding=0, input_gradient=True
):
    """The same as in chapter 5; of float16, dW is float32."""
    dx, m = None, _transposed_plan(steps, x, weight, (stride, dilation, padding))
    if m == GATHER:
        geometry = {"stride": stride, "dilation": dilation, "padding": padding}
        dmirror = gather.weight_gradient(steps, dy, x, weight.shape[:2], **geometry)
        if input_gradient:
            dx = gather.correlate(steps, dy, weight.swapaxes(2, 3), **geometry)
        return dx, dmirror.swapaxes(2, 3)
    dy = pixels_to_phases(dy)
    dweight = wide_filter_adjoint(winograd.weight_gradient(steps, x, dy, m=m, padding=1))
    if input_gradient:
        dx = winograd.correlate_adjoint(steps, dy, wide_filter(weight), m=m, padding=1)
    return dx, dweight


def _transposed_plan(steps, x, weight, geometry, kept=False):
    if not steps.WIDE:
        return GATHER
    return transposed_plan(weight.shape, prod(x.shape[:3]), geometry, x.dtype, kept)


# The wide convolution ----------------------------------------------------------------------------

# Along one axis, output pixel 2 t + phase sees input pixel t - 1 + k through tap  3 + phase - 2 k.
_TAPS = [(k, phase, 3 + phase - 2 * k) for k, phase in ((0, 0), (1, 0), (1, 1), (2, 1))]


def wide_filter(weight):
    """The wide convolution of a 4x4 filter. (4, 4, C_in, C_out) -> (3, 3, C_in, 4 C_out)."""
    c_in, c_out = weight.shape[2:]
    wide = empty((3, 3, c_in, 4 * c_out), weight)
    wide[...] = 0
    parts = wide.reshape(3, 3, c_in, 2, 2, c_out)
    for (row, a, i), (column, b, j) in product(_TAPS, _TAPS):
        parts[row, column, :, a, b] = weight[i, j]
    return wide


def wide_filter_adjoint(wide):
    """The gradient to the 4x4 filter from that to the wide one: `wide_filter`, read backwards."""
    weight = np.empty((4, 4, wide.shape[2], wide.shape[3] // 4), wide.dtype)
    parts = wide.reshape(*wide.shape[:3], 2, 2, -1)
    for (row, a, i), (column, b, j) in product(_TAPS, _TAPS):
        weight[i, j] = parts[row, column, :, a, b]
    return weight


def phases_to_pixels(x):
    """(N, H, W, 4 C) -> (N, 2 H, 2 W, C): a pixel's numbers (2, 2, C) become 2 x 2 pixels."""
    n, h, w, c = x.shape
    y = empty((n, 2 * h, 2 * w, c // 4), x)
    y.reshape(n, h, 2, w, 2, c // 4)[...] = x.reshape(n, h, w, 2, 2, c // 4).swapaxes(2, 3)
    return y


def pixels_to_phases(x):
    """(N, 2 H, 2 W, C) -> (N, H, W, 4 C), the way back."""
    n, h, w, c = x.shape
    y = empty((n, h // 2, w // 2, 4 * c), x)
    pairs = x.reshape(n, h // 2, 2, w // 2, 2, c)
    y.reshape(n, h // 2, w // 2, 2, 2, c)[...] = pairs.swapaxes(2, 3)
    return y
