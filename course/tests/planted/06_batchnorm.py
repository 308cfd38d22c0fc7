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


def _backward(dy, x, gamma, mu, var, eps, root=lambda var, eps: np.sqrt(var + eps), dx=None):
    """The right answer, with another sigma or another dx, of xhat, sigma, dgamma, dbeta and m."""
    sigma, m = root(var, eps), x[..., 0].size
    xhat = (x - mu) / sigma
    dbeta, dgamma = dy.sum((0, 1, 2)), (dy * xhat).sum((0, 1, 2))
    if dx is None:
        return gamma / sigma * (dy - dbeta / m - xhat * dgamma / m), dgamma, dbeta
    return dx(xhat, sigma, dgamma, dbeta, m), dgamma, dbeta


def no_eps_anywhere(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dgamma is wrong: eps is missing"""
    return _backward(dy, x, gamma, mu, var, eps, lambda var, eps: var**0.5)


def eps_behind_the_root(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dgamma is wrong: eps is added to the root"""
    return _backward(dy, x, gamma, mu, var, eps, lambda var, eps: np.sqrt(var) + eps)


def no_root_anywhere(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dgamma is wrong: sigma^2 (var + eps) where sigma belongs"""
    return _backward(dy, x, gamma, mu, var, eps, lambda var, eps: var + eps)


def an_eps_of_ones_own(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dgamma is wrong: eps is taken to be 1e-5"""
    return _backward(dy, x, gamma, mu, var, 1e-5)


def no_eps_in_xhat(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dgamma is wrong: eps is missing"""
    dx, dgamma, dbeta = _backward(dy, x, gamma, mu, var, 0)
    return dx * np.sqrt(var / (var + eps)), dgamma, dbeta


def in_another_order(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dgamma stands in its place; wanted are, in this order, dx, dgamma, dbeta"""
    dx, dgamma, dbeta = _backward(dy, x, gamma, mu, var, eps)
    return dx, dbeta, dgamma


def times_sigma(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: it is multiplied by sigma, and not divided"""
    return _backward(dy, x, gamma, mu, var, eps, dx=lambda xhat, sigma, dgamma, dbeta, m: (
        gamma * sigma * (dy - dbeta / m - xhat * dgamma / m)))  # fmt: skip


def no_sigma(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: the division by sigma is missing"""
    return _backward(dy, x, gamma, mu, var, eps, dx=lambda xhat, sigma, dgamma, dbeta, m: (
        gamma * (dy - dbeta / m - xhat * dgamma / m)))  # fmt: skip


def gamma_of_one_term(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: gamma is a factor of dy only"""
    return _backward(dy, x, gamma, mu, var, eps, dx=lambda xhat, sigma, dgamma, dbeta, m: (
        (gamma * dy - dbeta / m - xhat * dgamma / m) / sigma))  # fmt: skip


def gamma_twice(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: gamma is in it twice"""
    g = gamma * dy
    return _backward(dy, x, gamma, mu, var, eps, dx=lambda xhat, sigma, dgamma, dbeta, m: (
        gamma / sigma * (g - g.mean((0, 1, 2)) - xhat * (g * xhat).mean((0, 1, 2)))))  # fmt: skip


def last_term_without_xhat(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: the last term lacks its factor xhat"""
    return _backward(dy, x, gamma, mu, var, eps, dx=lambda xhat, sigma, dgamma, dbeta, m: (
        gamma / sigma * (dy - dbeta / m - dgamma / m)))  # fmt: skip


def last_term_with_x(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: in the last term x stands where xhat belongs"""
    return _backward(dy, x, gamma, mu, var, eps, dx=lambda xhat, sigma, dgamma, dbeta, m: (
        gamma / sigma * (dy - dbeta / m - x * dgamma / m)))  # fmt: skip


def last_term_not_scaled(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: in the last term x - mu stands where xhat belongs"""
    return _backward(dy, x, gamma, mu, var, eps, dx=lambda xhat, sigma, dgamma, dbeta, m: (
        gamma / sigma * (dy - dbeta / m - (x - mu) * dgamma / m)))  # fmt: skip


def mu_forgotten(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dgamma is wrong: the term -mu sum of dy / sigma is missing"""
    return _backward(dy, x, gamma, 0, var, eps)


def unbiased_in_backward(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dgamma is wrong: var is the biased variance"""
    return _backward(dy, x, gamma, mu, x.var((0, 1, 2), ddof=1), eps)


def each_picture_by_itself(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dx is wrong: the sums are those of each picture"""
    _, dgamma, dbeta = _backward(dy, x, gamma, mu, var, eps)
    m, sigma = x[0, :, :, 0].size, np.sqrt(var + eps)
    xhat = (x - mu) / sigma
    b, g = (v.sum((1, 2), keepdims=True) for v in (dy, dy * xhat))
    return gamma / sigma * (dy - b / m - xhat * g / m), dgamma, dbeta


def a_wrong_dgamma_used_in_dx(dy, x, gamma, mu, var, eps):
    """batchnorm_backward: dgamma is wrong: xhat lacks its division by sigma"""
    m, sigma = x[..., 0].size, np.sqrt(var + eps)
    dgamma, dbeta = (dy * (x - mu)).sum((0, 1, 2)), dy.sum((0, 1, 2))
    return gamma / sigma * (dy - dbeta / m - (x - mu) / sigma * dgamma / m), dgamma, dbeta


def momentum_of_ones_own(mean, var, mu, var_batch, m, momentum):
    """running_averages: momentum is taken to be 0.1"""
    return 0.9 * mean + 0.1 * mu, 0.9 * var + 0.1 * var_batch * m / max(m - 1, 1)


def mean_and_var_exchanged(mean, var, mu, var_batch, m, momentum):
    """running_averages: mean is wrong: var stands in its place"""
    unbiased = var_batch * m / max(m - 1, 1)
    return var + momentum * (unbiased - var), mean + momentum * (mu - mean)


def mean_unbiased_too(mean, var, mu, var_batch, m, momentum):
    """running_averages: M / (M - 1) is for the variance; a mean has no such factor"""
    f = m / max(m - 1, 1)
    return mean + momentum * (f * mu - mean), var + momentum * (f * var_batch - var)


def the_whole_unbiased(mean, var, mu, var_batch, m, momentum):
    """running_averages: M / (M - 1) is for the batch's variance only"""
    f = m / max(m - 1, 1)
    return mean + momentum * (mu - mean), f * (var + momentum * (var_batch - var))


def the_old_unbiased(mean, var, mu, var_batch, m, momentum):
    """running_averages: M / (M - 1) is for the batch's variance, and not for the average so far"""
    f = m / max(m - 1, 1)
    return mean + momentum * (mu - mean), (1 - momentum) * f * var + momentum * var_batch


def just_the_batch(mean, var, mu, var_batch, m, momentum):
    """running_averages: this is the batch's mean"""
    return mu, var_batch


def m_plus_one(mean, var, mu, var_batch, m, momentum):
    """running_averages: M / (M + 1) stands where M / (M - 1) belongs"""
    return mean + momentum * (mu - mean), var + momentum * (var_batch * m / (m + 1) - var)


def nothing_at_one(mean, var, mu, var_batch, m, momentum):
    """running_averages: m is 1: there is no unbiased variance of one value; take the biased one"""
    unbiased = var_batch * m / (m - 1) if m > 1 else 0
    return mean + momentum * (mu - mean), var + momentum * (unbiased - var)


def infinite_at_one(mean, var, mu, var_batch, m, momentum):
    """running_averages: m is 1: there is no unbiased variance of one value; take the biased one"""
    return mean + momentum * (mu - mean), var + momentum * (var_batch * m / np.float64(m - 1) - var)


def by_einsum(x):
    """channel_sums: the sum is kept in float32"""
    return np.einsum("nhwc->c", x)


def by_a_product(x):
    """channel_sums: the sum is kept in float32"""
    return np.ones(x[..., 0].size, np.float32) @ x.reshape(-1, x.shape[3])


def first_picture(x):
    """channel_sums: it is of the first picture only"""
    return x[0].astype(float).sum((0, 1))


def channels_mixed(x):
    """channel_sums: reshape(C, -1) mixes the channels"""
    return x.astype(float).reshape(x.shape[3], -1).sum(1)
