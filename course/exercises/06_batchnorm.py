"""Chapter 6: batch normalisation. Check your answers with: python -m course 6

    xhat = (x - mu) / sigma,   sigma = sqrt(var + eps),   y = gamma xhat + beta

mu and var are the mean and the (biased) variance of a channel over M = N H W values.
"""

import numpy as np  # noqa: F401


def batchnorm_backward(dy, x, gamma, mu, var, eps):
    """The gradients of the layer, given dy, that of its output.

    dy, x: (N, H, W, C) float64. gamma, mu, var: (C,). mu and var are those of x, so they move when
    an x moves. Returns dx (N, H, W, C), dgamma (C,), dbeta (C,), in this order.
    """
    raise NotImplementedError


def running_averages(mean, var, mu, var_batch, m, momentum):
    """The averages over many batches, which stand for mu and var once training is over.

    mean, var: (C,), the averages so far. mu, var_batch: (C,), of this batch over m values; var_batch
    is biased (divided by m), and the average is to be of the unbiased one (divided by m - 1; where
    m is 1, take the biased one). momentum: the share of the new value, such as 0.1.
    Returns the new mean and var, both (C,).
    """
    raise NotImplementedError


def channel_sums(x):
    """The sum of each channel over all pixels of all pictures, right to 6 digits.

    x: (N, H, W, C) float32, from 4 pixels to more than a hundred thousand. Returns (C,).
    """
    raise NotImplementedError
