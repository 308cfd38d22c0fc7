"""Chapter 8: the network and its initialisation. Check your answers with: python -m course 8"""

import numpy as np  # noqa: F401

from mini_colorize.layers.conv import conv2d  # noqa: F401


def he(draw):
    """He's initialisation: the weights of a convolution that a ReLU follows.

    draw: (kh, kw, C_in, C_out) float64, numbers drawn from N(0, 1). Returns the same shape, as if
    drawn from N(0, 2 / fan_in), where 2 / fan_in is the variance and fan_in is how many numbers one
    output is a sum of.
    """
    raise NotImplementedError


def unit_variance(x, weights):
    """Rescale a stack of convolutions so that each one's output has the variance 1 on a batch.

    x: (N, H, W, C) float64, the batch. weights: (layers, 3, 3, C, C) float64, from the first layer
    to the last. Each layer is conv2d(x, weight, 0, padding=1), and a ReLU follows, whose output is
    the next layer's input. The variance is that of all numbers of a convolution's output together,
    before the ReLU. Returns the new weights, each layer's a multiple of what they were.
    """
    raise NotImplementedError


def receptive_field(layers, o):
    """What one output pixel sees, along one axis.

    layers: from the first to the last, each a tuple (kind, k, s, d, p): "conv" or "transposed",
    kernel, stride, dilation, padding. o: the output pixel's number. Output pixel o of

        a convolution reads the input pixels                 o s - p + i d,       i = 0 ... k-1
        a transposed one (whose d is always 1) those i with  0 <= o + p - i s <= k-1

    Go on past the picture's border as if there were pixels everywhere. Returns size and centre:
    from the first to the last pixel that is read, how many there are (gaps count), and the middle
    of these two, such as 3.5.
    """
    raise NotImplementedError


def fold_batchnorm(weight, bias, scale, shift):
    """One convolution that does what BatchNorm and the convolution behind it do.

    In use BatchNorm is x scale + shift, for each channel. The convolution of that has weight
    (kh, kw, C_in, C_out) and bias (C_out,), both float64. scale, shift: (C_in,), no scale is 0.
    Returns weight, bias and fill (C_in,) of the convolution that is applied to x itself; fill is
    what to put around x where the old convolution had zeros around BatchNorm's output.
    """
    raise NotImplementedError
