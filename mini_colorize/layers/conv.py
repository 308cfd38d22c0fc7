"""Chapter 4: convolution, forward and backward.

A convolution reads, for each output pixel, the kh x kw input pixels under its filter. Lay these
next to each other, the `windows` (also called im2col), and the sum over taps and channels is one
matrix product. Backward follows from that, with `scatter`, the way back from windows to pictures:

    y = X W + b             X = windows(x), a row for each output pixel
    dW = X^T dy             dX = dy W^T,    dx = scatter(dX)            db: chapter 3

Notation
    N, H, W, C_in     input pictures, NHWC        s   stride       d   dilation
    Ho, Wo, C_out     output pictures             p   zero padding, pixels on each side
    kh, kw            filter, weights (kh, kw, C_in, C_out)
    X   (N Ho Wo, kh kw C_in)     W   (kh kw C_in, C_out)     y, dy   (N Ho Wo, C_out)     b   (C_out,)

The code keeps all axes apart and lets np.tensordot name those that a product sums over. Along each
axis output pixel o reads the input pixels  o s - p + i d  for the taps i = 0 .. k-1, k being kh or
kw. The filter is not flipped, as is usual in deep learning. Sources: Dumoulin and Visin, "A guide
to convolution arithmetic for deep learning", 2016 (1603.07285), sections 2 and 5.1; im2col:
Chellapilla, Puri and Simard, 2006.
"""

from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .relu import bias_relu


def output_size(size, kernel, stride, dilation, padding):
    """Ho for H = size (or Wo for W). Raises ValueError if nothing is left."""
    out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    if out < 1:
        raise ValueError(f"an input of {size} pixels is too small for this convolution")
    return out


def windows(x, kernel, stride, dilation, padding, fill=0):
    """What each output pixel reads: (N, H, W, C) -> (N, Ho, Wo, kh, kw, C), a read-only view of a
    padded copy of x.

    kernel: (kh, kw). fill: the value of the padding, a number or (C,). Raises ValueError if x is
    too small.
    """
    n, h, w, c = x.shape
    for size, k in zip((h, w), kernel, strict=True):
        output_size(size, k, stride, dilation, padding)
    padded = np.empty((n, h + 2 * padding, w + 2 * padding, c), x.dtype)
    padded[...] = fill
    padded[:, padding : padding + h, padding : padding + w] = x
    reach = [dilation * (k - 1) + 1 for k in kernel]
    all_of_them = sliding_window_view(padded, reach, axis=(1, 2))  # (N, ., ., C, ., .)
    view = all_of_them[:, ::stride, ::stride, :, ::dilation, ::dilation]
    return view.transpose(0, 1, 2, 4, 5, 3)


def scatter(columns, size, stride, dilation, padding):
    """The adjoint of `windows`: every number goes back to the pixel that it was read from, where
    they are added up. (N, Ho, Wo, kh, kw, C) -> (N, H, W, C).

    size: (H, W), since several H have one Ho; pixels that nobody read get 0.
    """
    n, ho, wo, kh, kw, c = columns.shape
    h, w = size
    padded = np.zeros((n, h + 2 * padding, w + 2 * padding, c), columns.dtype)
    for i, j in product(range(kh), range(kw)):
        rows = slice(i * dilation, i * dilation + (ho - 1) * stride + 1, stride)
        cols = slice(j * dilation, j * dilation + (wo - 1) * stride + 1, stride)
        padded[:, rows, cols] += columns[:, :, :, i, j]
    return padded[:, padding : padding + h, padding : padding + w]


def conv2d(x, weight, bias, *, stride=1, dilation=1, padding=0, fill=0, relu=False):
    """y = X W + b, and with `relu` the larger of that and 0.

    x: (N, H, W, C_in). weight: (kh, kw, C_in, C_out). bias: (C_out,). fill: of the padding, a
    number or (C_in,); other than 0 where a BatchNorm was folded into the weights. Returns (N, Ho,
    Wo, C_out). Raises ValueError if x is too small.
    """
    columns = windows(x, weight.shape[:2], stride, dilation, padding, fill)
    return bias_relu(np.tensordot(columns, weight, axes=3), bias, relu)


def conv2d_backward(dy, x, weight, *, stride=1, dilation=1, padding=0, input_gradient=True):
    """dW = X^T dy,  dx = scatter(dy W^T): the gradients of X W.

    dy: (N, Ho, Wo, C_out), of X W + b: where there was a ReLU, what `bias_relu_backward` gives. The
    padding was 0 (another `fill` is for inference only). x: (N, H, W, C_in).
    Returns dx (N, H, W, C_in), or None if it is not wanted, and dW (kh, kw, C_in, C_out).
    """
    columns = windows(x, weight.shape[:2], stride, dilation, padding)
    dweight = np.tensordot(columns, dy, axes=((0, 1, 2), (0, 1, 2)))
    if not input_gradient:
        return None, dweight
    dcolumns = np.tensordot(dy, weight, axes=(3, 3))
    return scatter(dcolumns, x.shape[1:3], stride, dilation, padding), dweight
