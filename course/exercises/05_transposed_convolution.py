"""Chapter 5: transposed convolution. Check your answers with: python -m course 5

Input pixel (r, c) stamps the whole filter onto the output; what falls outside is lost:

    y[n, r s - p + i d, c s - p + j d, k]  gets  sum over q of  x[n, r, c, q] W[i, j, q, k]

from every r, c, i, j; the stamps add up, and b[k] comes on top once. s: stride, d: dilation,
p: padding. Loops are fine: the inputs are small.
"""

import numpy as np  # noqa: F401


def is_adjoint(forward, adjoint, x_shape, y_shape):
    """Whether `adjoint` is the adjoint of `forward`: <forward(x), y> = <x, adjoint(y)> for all x, y.

    forward: a linear function, from an array of x_shape to one of y_shape. adjoint: one from y_shape
    to x_shape. <u, v> is the sum over all numbers of u v. Both may make numbers much larger or
    smaller, so compare with the size of what you compare. Pairs that are adjoint are so up to
    rounding; the others are off by 1 % at least. Returns True or False.
    """
    raise NotImplementedError


def conv_transpose2d(x, weight, bias, stride, dilation, padding):
    """The layer. x: (N, H, W, C_in). weight: (kh, kw, C_in, C_out). bias: (C_out,). All float64.

    Returns y (N, Ho, Wo, C_out), Ho = (H - 1) s - 2 p + d (kh - 1) + 1; Wo the same with W, kw.
    """
    raise NotImplementedError


def conv_transpose2d_backward(dy, x, weight, stride, dilation, padding):
    """The gradients of the layer with respect to x and to the weights, given dy, that of y.

        dx[n, r, c, q] = sum over i, j, k of  dy[n, r s - p + i d, c s - p + j d, k] W[i, j, q, k]

    (dy is 0 outside), and dW follows in the same way. dy: (N, Ho, Wo, C_out). x: (N, H, W, C_in).
    Returns dx (N, H, W, C_in), dW (kh, kw, C_in, C_out).
    """
    raise NotImplementedError
