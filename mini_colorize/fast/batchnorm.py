"""BatchNorm in passes over the pixels: two forward, two backward, by threads or by kernels.

What a pass needs of a channel is put into few numbers first, so that it is one multiplication and
one addition a value. Notation: as in chapter 6, and
    passes   the module pointwise (CPU) or kernels (GPU), whose batchnorm_... they are
"""

import numpy as np


def batchnorm(passes, x, gamma, beta, eps, whole=None):
    """The same as in chapter 6."""
    mu, var = passes.batchnorm_statistics(x)
    if whole:
        mu, var = whole(mu, var)
    y = passes.batchnorm_normalize(x, mu, gamma * (1 / np.sqrt(var + eps)), beta)
    return y, mu, var


def batchnorm_inference(passes, x, gamma, beta, mu, var, eps):
    """The same as in chapter 6."""
    return passes.batchnorm_normalize(x, mu, gamma / np.sqrt(var + eps), beta)


def batchnorm_backward(passes, dy, x, gamma, mu, var, eps, whole=None):
    """The same as in chapter 6; dx is written over dy."""
    m, inv_sigma = x.size // x.shape[3], 1 / np.sqrt(var + eps)
    dbeta, dgamma = passes.batchnorm_sums(dy, x, mu)
    dgamma = dgamma * inv_sigma
    m, dg, db = whole(m, dgamma, dbeta) if whole else (m, dgamma, dbeta)
    scale, slope = gamma * inv_sigma, dg * inv_sigma / m
    return passes.batchnorm_backward(dy, x, mu, scale, db / m, slope), dgamma, dbeta
