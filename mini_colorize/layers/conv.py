"""Chapter 3a: convolution, forward and backward, as gather + matrix multiplication.

One idea carries the file. A convolution reads, for each output pixel, the kh x kw input pixels
under its filter. Copy these next to each other ("gather", also called im2col) and the sum over
taps and channels is one row of a matrix product:

    y = columns W,   columns (N Ho Wo, kh kw C_in),   W (kh kw C_in, C_out)

The three functions below are all that training needs, and all that a transposed convolution
needs as well, because a transposed convolution is the gradient of a convolution to its input:

    correlate           y  = columns(x) W                     Conv2d forward
    correlate_adjoint   dx = columns(dy) W', per phase        Conv2d backward, to the input
    weight_gradient     dW = columns(x)^T dy                  Conv2d backward, to the weights

Notation
    N, H, W, C_in     input pictures, NHWC        s   stride       d   dilation
    Ho, Wo, C_out     output pictures             p   zero padding, pixels on each side
    kh, kw            filter, weights (kh, kw, C_in, C_out)

Output pixel o of each axis reads the input pixels  o s - p + i d  for the taps i = 0 .. k-1.
The columns are made block by block; neither they nor their product exceed WORK_BYTES, whatever
the picture's size.
"""

from math import gcd
from typing import NamedTuple

import numpy as np

from ..backend import array_module

WORK_BYTES = 16 * 2**20  # cap of the gathered columns


class Taps(NamedTuple):
    """Along one axis, position o reads pixels o * stride + start + i * step, i = 0 .. count-1."""

    start: int
    step: int
    count: int
    stride: int


def output_size(size, kernel, stride, dilation, padding):
    """Ho for H = size (or Wo for W). Raises ValueError if nothing is left."""
    out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    if out < 1:
        raise ValueError(f"an input of {size} pixels is too small for this convolution")
    return out


def _blocks(n, h, w, bytes_per_pixel):
    """Cut n x h x w output pixels into blocks whose columns fit WORK_BYTES.

    Whole pictures if they fit, else whole rows, else parts of a row. Yields three slices.
    """
    pixels = max(1, WORK_BYTES // bytes_per_pixel)
    dw = min(w, pixels)
    dh = min(h, max(1, pixels // w))
    dn = min(n, max(1, pixels // (h * w)))
    for i in range(0, n, dn):
        for r in range(0, h, dh):
            for c in range(0, w, dw):
                yield (
                    slice(i, min(i + dn, n)),
                    slice(r, min(r + dh, h)),
                    slice(c, min(c + dw, w)),
                )


def _patch(x, top, height, left, width, fill):
    """x[:, top : top+height, left : left+width], where what lies outside x is `fill`."""
    h, w = x.shape[1:3]
    r0, r1 = max(top, 0), min(top + height, h)
    c0, c1 = max(left, 0), min(left + width, w)
    if (r0, r1, c0, c1) == (top, top + height, left, left + width):
        return x[:, r0:r1, c0:c1]
    xp = array_module(x)
    patch = xp.empty((len(x), height, width, x.shape[3]), dtype=x.dtype)
    patch[...] = fill
    if r0 < r1 and c0 < c1:
        patch[:, r0 - top : r1 - top, c0 - left : c1 - left] = x[:, r0:r1, c0:c1]
    return patch


def gather(x, rows, cols, block, fill=0):
    """The columns of one block of output pixels.

    x: (N, H, W, C). rows, cols: Taps. block: slices of pictures, output rows, output columns.
    fill: value of the pixels outside x, a number or (C,).
    Returns (pixels of the block, rows.count * cols.count * C), x's dtype.
    """
    n, r, c = block
    height = (r.stop - r.start - 1) * rows.stride + (rows.count - 1) * rows.step + 1
    width = (c.stop - c.start - 1) * cols.stride + (cols.count - 1) * cols.step + 1
    top, left = r.start * rows.stride + rows.start, c.start * cols.stride + cols.start
    patch = _patch(x[n], top, height, left, width, fill)
    sn, sh, sw, sc = patch.strides
    pixels = (len(patch), r.stop - r.start, c.stop - c.start)
    windows = array_module(x).lib.stride_tricks.as_strided(
        patch,
        pixels + (rows.count, cols.count, x.shape[3]),
        (sn, sh * rows.stride, sw * cols.stride, sh * rows.step, sw * cols.step, sc),
    )
    return windows.reshape(np.prod(pixels), -1)  # the copy


def _bytes_per_pixel(x, taps, c_out=0):
    """Of an output pixel's columns, or of its product with the weights if that is longer."""
    return max(taps * x.shape[3], c_out) * x.dtype.itemsize


def correlate(x, weight, bias=None, *, stride=1, dilation=1, padding=0, fill=0):
    """The convolution itself (without flipping the filter, as everyone in this field does).

    x: (N, H, W, C_in). weight: (kh, kw, C_in, C_out). bias: (C_out,) or None.
    fill: value of the padding, a number or (C_in,).
    Returns (N, Ho, Wo, C_out), x's dtype.
    """
    kh, kw, _, c_out = weight.shape
    n, h, w, _ = x.shape
    ho = output_size(h, kh, stride, dilation, padding)
    wo = output_size(w, kw, stride, dilation, padding)
    rows, cols = Taps(-padding, dilation, kh, stride), Taps(-padding, dilation, kw, stride)
    y = array_module(x).empty((n, ho, wo, c_out), dtype=x.dtype)
    matrix = weight.reshape(-1, c_out)
    for block in _blocks(n, ho, wo, _bytes_per_pixel(x, kh * kw, c_out)):
        product = gather(x, rows, cols, block, fill) @ matrix
        if bias is not None:
            product += bias
        y[block] = product.reshape(y[block].shape)
    return y


def _phase_taps(kernel, stride, dilation, padding, phase):
    """Which taps reach the input pixels  t * stride + phase, and which outputs they come from.

    Input pixel q is read by output o through tap i if  q = o s - p + i d. For q = t s + phase,
        o = t + (phase + p - i d) / s,
    so only the taps that make this whole take part: every s/gcd(s, d)-th, and o falls by
    d/gcd(s, d) from one to the next.
    Returns (tap indices in order of rising o, Taps over the outputs), or ([], None).
    """
    taps = [i for i in range(kernel) if (phase + padding - i * dilation) % stride == 0][::-1]
    if not taps:
        return [], None
    start = (phase + padding - taps[0] * dilation) // stride
    return taps, Taps(start, dilation // gcd(stride, dilation), len(taps), 1)


def correlate_adjoint(y, weight, size, bias=None, *, stride=1, dilation=1, padding=0):
    """The adjoint of `correlate`: scatters every output pixel back to the inputs it was read from.

        x[q] = sum over taps i, j and outputs o with q = o s - p + i d of  y[o] W[i, j]^T

    Written as a gather, phase by phase (q mod s): within one phase it is a plain stride-1
    convolution with a part of the filter. For stride 1 there is one phase: the flipped filter.
    y: (N, Ho, Wo, C_out). weight: (kh, kw, C_in, C_out). size: (H, W). bias: (C_in,) or None.
    Returns (N, H, W, C_in), y's dtype.
    """
    kh, kw, c_in, _ = weight.shape
    x = array_module(y).zeros((len(y),) + tuple(size) + (c_in,), dtype=y.dtype)
    if bias is not None:
        x += bias
    for a in range(min(stride, size[0])):
        i, rows = _phase_taps(kh, stride, dilation, padding, a)
        for b in range(min(stride, size[1])):
            j, cols = _phase_taps(kw, stride, dilation, padding, b)
            if not i or not j:
                continue
            matrix = weight[i][:, j].swapaxes(2, 3).reshape(-1, c_in)
            phase = x[:, a::stride, b::stride]
            for block in _blocks(*phase.shape[:3], _bytes_per_pixel(y, len(i) * len(j), c_in)):
                product = gather(y, rows, cols, block) @ matrix
                phase[block] += product.reshape(phase[block].shape)
    return x


def weight_gradient(x, dy, kernel, *, stride=1, dilation=1, padding=0):
    """Gradient of sum(dy * correlate(x, W)) to W.

    x: (N, H, W, C_in). dy: (N, Ho, Wo, C_out). kernel: (kh, kw).
    Returns (kh, kw, C_in, C_out), x's dtype.
    """
    kh, kw = kernel
    c_out = dy.shape[3]
    rows, cols = Taps(-padding, dilation, kh, stride), Taps(-padding, dilation, kw, stride)
    dw = array_module(x).zeros((kh * kw * x.shape[3], c_out), dtype=x.dtype)
    for block in _blocks(*dy.shape[:3], _bytes_per_pixel(x, kh * kw)):
        dw += gather(x, rows, cols, block).T @ dy[block].reshape(-1, c_out)
    return dw.reshape(kh, kw, x.shape[3], c_out)


class Conv2d:
    """Convolution with bias. Memory between the passes: its input, which it only borrows.

    c_in, c_out: channels. padding: pixels, by default what keeps the size at stride 1.
    `fill`, a number or (c_in,), is the value of the padding: 0, but for a folded BatchNorm, which
    is for inference only: `backward` supposes 0.
    Parameters start at zero; see Network.initialize.
    """

    def __init__(self, c_in, c_out, kernel=3, stride=1, dilation=1, padding=None, dtype=np.float32):
        padding = dilation * (kernel - 1) // 2 if padding is None else padding
        self.geometry = {"stride": stride, "dilation": dilation, "padding": padding}
        self.params = {
            "weight": np.zeros((kernel, kernel, c_in, c_out), dtype),
            "bias": np.zeros(c_out, dtype),
        }
        self.grads = {}
        self.fill = 0
        self.x = None

    def forward(self, x, train=False):
        """x: (N, H, W, C_in) -> (N, Ho, Wo, C_out). Keeps x for `backward` if `train`."""
        self.x = x if train else None
        p = self.params
        return correlate(x, p["weight"], p["bias"], fill=self.fill, **self.geometry)

    def backward(self, dy, input_gradient=True):
        """With columns X:  dW = X^T dy,  db = sum of dy over pixels,  dx = dy W^T, scattered.

        dy: (N, Ho, Wo, C_out). Returns dx (N, H, W, C_in), or None if it is not wanted.
        """
        x, self.x = self.x, None
        weight = self.params["weight"]
        self.grads["weight"] = weight_gradient(x, dy, weight.shape[:2], **self.geometry)
        self.grads["bias"] = pixel_sum(dy)
        if input_gradient:
            return correlate_adjoint(dy, weight, x.shape[1:3], **self.geometry)

    def output_shape(self, shape):
        """(H, W, C_in) -> (Ho, Wo, C_out)."""
        kh, kw, _, c_out = self.params["weight"].shape
        g = self.geometry.values()
        return output_size(shape[0], kh, *g), output_size(shape[1], kw, *g), c_out

    def flops(self, shape):
        """Multiplications plus additions for one picture of shape (H, W, C_in)."""
        h, w, _ = self.output_shape(shape)
        return 2 * h * w * self.params["weight"].size


def pixel_sum(x):
    """Sum over pictures and pixels, (N, H, W, C) -> (C,), in two steps.

    NumPy adds along a leading axis one row after another; in float32 a million rows would lose
    digits. A sum a picture row first, then over these, keeps the error small.
    """
    return x.sum(axis=2).sum(axis=(0, 1))
