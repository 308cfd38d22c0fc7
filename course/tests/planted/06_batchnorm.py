"""Wrong answers that students give to chapter 6. The docstring: exercise, and what is to be said."""

import numpy as np


def two_terms_forgotten(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: the term -dbeta / M (what x does through mu) is missing and the term -xhat dgamma / M (what x does through var) is missing"""
    xhat = (x - mu) / np.sqrt(var + eps)
    dgamma = np.einsum("nhwc,nhwc->c", dy, xhat)
    return dy * gamma / np.sqrt(var + eps), dgamma, np.einsum("nhwc->c", dy)


def the_variance_is_a_constant(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dx is wrong: the term -xhat dgamma / M (what x does through var) is missing"""
    sigma = (var + eps) ** 0.5
    dxhat = dy * gamma
    dx = (dxhat - np.mean(dxhat, axis=(0, 1, 2))) / sigma
    return dx, np.sum(dy * (x - mu) / sigma, axis=(0, 1, 2)), np.sum(dy, axis=(0, 1, 2))


def a_sign(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: (what x does through var) has the wrong sign"""
    xhat = (x - mu) / np.sqrt(var + eps)
    dbeta, dgamma = dy.sum((0, 1, 2)), (dy * xhat).sum((0, 1, 2))
    m = dy[..., 0].size
    return gamma / np.sqrt(var + eps) * (dy - (dbeta - xhat * dgamma) / m), dgamma, dbeta


def sums_over_the_pictures_only(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dx is wrong: M is not the number of pictures: it is N H W"""
    n = len(x)
    xhat = (x - mu) / np.sqrt(var + eps)
    dbeta, dgamma = dy.sum((0, 1, 2)), (dy * xhat).sum((0, 1, 2))
    return gamma / np.sqrt(var + eps) * (n * dy - dbeta - xhat * dgamma) / n, dgamma, dbeta


def the_variance_for_its_root(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dx is wrong: sigma^2 (var + eps) where sigma belongs"""
    m = x.shape[0] * x.shape[1] * x.shape[2]
    xhat = (x - mu) / np.sqrt(var + eps)
    dbeta, dgamma = dy.sum((0, 1, 2)), (dy * xhat).sum((0, 1, 2))
    return gamma / (var + eps) / m * (m * dy - dbeta - xhat * dgamma), dgamma, dbeta


def without_eps(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: eps is missing"""
    m = x.shape[0] * x.shape[1] * x.shape[2]
    xhat = (x - mu) / np.sqrt(var + eps)
    dbeta, dgamma = dy.sum((0, 1, 2)), (dy * xhat).sum((0, 1, 2))
    return gamma / np.sqrt(var) / m * (m * dy - dbeta - xhat * dgamma), dgamma, dbeta


def x_is_not_centred(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dgamma is wrong: the term -mu sum of dy / sigma is missing"""
    m = x.shape[0] * x.shape[1] * x.shape[2]
    xhat = (x - mu) / np.sqrt(var + eps)
    dbeta, dgamma = dy.sum((0, 1, 2)), (dy * xhat).sum((0, 1, 2))
    dx = gamma / np.sqrt(var + eps) / m * (m * dy - dbeta - xhat * dgamma)
    return dx, (dy * x / np.sqrt(var + eps)).sum((0, 1, 2)), dbeta


def no_sum_over_pixels(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dgamma has the shape (1, 3, 2), wanted is (2,): channel"""
    m = x.shape[0] * x.shape[1] * x.shape[2]
    xhat = (x - mu) / np.sqrt(var + eps)
    dbeta, dgamma = dy.sum((0, 1, 2)), (dy * xhat).sum((0, 1, 2))
    dx = gamma / np.sqrt(var + eps) / m * (m * dy - dbeta - xhat * dgamma)
    return dx, (dy * xhat).sum(0) if len(x) == 2 else dgamma, dbeta


def in_place(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: it overwrites its argument x"""
    m = x.shape[0] * x.shape[1] * x.shape[2]
    x -= mu
    x /= np.sqrt(var + eps)
    dbeta, dgamma = dy.sum((0, 1, 2)), (dy * x).sum((0, 1, 2))
    return gamma / np.sqrt(var + eps) / m * (m * dy - dbeta - x * dgamma), dgamma, dbeta


def only_dx(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: it returns an array of shape (3, 1, 1, 1); wanted are 3 values: dx, dgamma, dbeta"""
    return dy * gamma


def momentum_the_other_way_round(mean, var, mu, var_batch, m, momentum):
    """running_averages: momentum is the share of the new value"""
    unbiased = var_batch * m / max(m - 1, 1)
    return mean * momentum + mu * (1 - momentum), var * momentum + unbiased * (1 - momentum)


def biased(mean, var, mu, var_batch, m, momentum):
    """running_averages: M / (M - 1) is missing"""
    keep = 1 - momentum
    return keep * mean + momentum * mu, keep * var + momentum * var_batch


def division_by_zero(mean, var, mu, var_batch, m, momentum):
    """running_averages: ZeroDivisionError in line"""
    keep = 1 - momentum
    return keep * mean + momentum * mu, keep * var + momentum * var_batch * (m / (m - 1))


def old_ones_kept(mean, var, mu, var_batch, m, momentum):
    """running_averages: the old average keeps all its weight"""
    unbiased = var_batch * m / max(m - 1, 1)
    return mean + momentum * mu, var + momentum * unbiased


def in_float32(x):
    """channel_sums: the sum is kept in float32"""
    return np.add.reduce(x.reshape(-1, x.shape[-1]), axis=0)


def converted_too_late(x):
    """channel_sums: the sum is kept in float32"""
    return x.sum(axis=(0, 1, 2)).astype(np.float64)


def a_mean(x):
    """channel_sums: the mean is given, and not the sum"""
    return x.astype(np.float64).mean(axis=(0, 1, 2))


def all_channels_together(x):
    """channel_sums: sums has the shape (), wanted is (1,): channel"""
    return x.sum(dtype=np.float64)
