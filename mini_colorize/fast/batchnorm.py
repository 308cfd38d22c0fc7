"""BatchNorm in passes over the pixels: two forward, two backward, by threads or by kernels.

What a pass needs of a channel is put into few numbers first, so that it is one multiplication and
one addition a value. Notation: as in chapter 6.
"""

import numpy as np

from ..backend import array_module
from . import kernels, pointwise


def _passes(x):
    """The functions batchnorm_statistics, _normalize, _sums and _backward for an array."""
    return pointwise if array_module(x) is np else kernels


def batchnorm(x, gamma, beta, eps):
    """The same as in chapter 6."""
    mu, var = _passes(x).batchnorm_statistics(x)
    y = _passes(x).batchnorm_normalize(x, mu, gamma * (1 / np.sqrt(var + eps)), beta)
    return y, mu, var


def batchnorm_inference(x, gamma, beta, mu, var, eps):
    """The same as in chapter 6."""
    return _passes(x).batchnorm_normalize(x, mu, gamma / np.sqrt(var + eps), beta)


def batchnorm_backward(dy, x, gamma, mu, var, eps):
    """The same as in chapter 6; dx is written over dy."""
    m, inv_sigma = x.size // x.shape[3], 1 / np.sqrt(var + eps)
    dbeta, dgamma = _passes(dy).batchnorm_sums(dy, x, mu)
    dgamma = dgamma * inv_sigma
    scale, slope = gamma * inv_sigma, dgamma * inv_sigma / m
    return _passes(dy).batchnorm_backward(dy, x, mu, scale, dbeta / m, slope), dgamma, dbeta
