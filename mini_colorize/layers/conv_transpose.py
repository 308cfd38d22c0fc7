"""Chapter 5: transposed convolution, the network's one step up in size (conv8, chapter 8).

It is the gradient of a convolution with respect to its input, used as a layer of its own: every
input pixel stamps its filter onto the output. With stride 2, a 4x4 filter and padding 1 each output
pixel is under four stamps, at the border under two, in a corner under one. `scatter` is linear and
`windows` its adjoint, so forward and backward are those of chapter 4 with the roles exchanged:

    S = x W,   y = scatter(S) + b          dS = windows(dy),   dx = dS W^T,   dW = x^T dS

Notation: as in chapter 4, but x (N H W, C_in) and W (C_in, kh kw C_out); the output is
(H-1) s - 2p + d (k-1) + 1 pixels high.
"""

import numpy as np

from .conv import scatter, windows
from .relu import bias_relu


def transposed_size(size, kernel, stride, dilation, padding):
    """Ho for H = size (or Wo for W)."""
    return (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1


def conv_transpose2d(x, weight, bias, *, stride=1, dilation=1, padding=0, relu=False):
    """y = scatter(x W) + b, and with `relu` the larger of that and 0.

    x: (N, H, W, C_in). weight: (kh, kw, C_in, C_out). bias: (C_out,). Returns (N, Ho, Wo, C_out).
    """
    geometry = stride, dilation, padding
    sizes = zip(x.shape[1:3], weight.shape[:2], strict=True)
    size = [transposed_size(side, k, *geometry) for side, k in sizes]
    stamps = np.tensordot(x, weight, axes=(3, 2))
    return bias_relu(scatter(stamps, size, *geometry), bias, relu)


def conv_transpose2d_backward(
    dy, x, weight, *, stride=1, dilation=1, padding=0, input_gradient=True
):
    """dx = windows(dy) W^T,  dW = x^T windows(dy): the gradients of scatter(x W).

    dy: (N, Ho, Wo, C_out), as in `conv2d_backward`. x: (N, H, W, C_in). Returns dx (N, H, W, C_in),
    or None if it is not wanted, and dW (kh, kw, C_in, C_out).
    """
    columns = windows(dy, weight.shape[:2], stride, dilation, padding)
    dweight = np.tensordot(x, columns, axes=((0, 1, 2), (0, 1, 2))).transpose(1, 2, 0, 3)
    if not input_gradient:
        return None, dweight
    return np.tensordot(columns, weight, axes=((3, 4, 5), (0, 1, 3))), dweight
