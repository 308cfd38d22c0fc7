"""Chapter 4: convolution. Check your answers with: python -m course 4

    y[n, r, c, k] = b[k] + sum over i, j, q of  x[n, r s - p + i d, c s - p + j d, q] W[i, j, q, k]

s: stride, d: dilation, p: padding. Where the index lies outside the picture, x is 0. Loops are
fine: the inputs are small. Windows and one matrix product are shorter.
"""

import numpy as np  # noqa: F401


def conv2d(x, weight, bias, stride, dilation, padding):
    """The layer. x: (N, H, W, C_in). weight: (kh, kw, C_in, C_out). bias: (C_out,). All float64.

    Returns y (N, Ho, Wo, C_out), where Ho is the largest number for which the last window still
    lies within the padded picture: (H + 2 p - d (kh - 1) - 1) // s + 1; Wo the same with W, kw.
    """
    raise NotImplementedError


def weight_gradient(dy, x, kernel, stride, dilation, padding):
    """dW, the gradient of the loss with respect to the weights, given dy, that of y.

    dy: (N, Ho, Wo, C_out). x: (N, H, W, C_in). kernel: (kh, kw). Returns (kh, kw, C_in, C_out).
    """
    raise NotImplementedError


def input_gradient(dy, weight, size, stride, dilation, padding):
    """dx, the gradient of the loss with respect to x, given dy, that of y.

    dy: (N, Ho, Wo, C_out). weight: (kh, kw, C_in, C_out). size: (H, W) of x: with a stride, pictures
    of several sizes give outputs of one size. Returns (N, H, W, C_in).
    """
    raise NotImplementedError
