"""Chapter 6: batch normalisation."""

import numpy as np

from mini_colorize.layers import batchnorm as package

from ..check import CHANNELS, PICTURES, Exercise, numeric_gradient

PIXELS = (0, 1, 2)
FILE = "06_batchnorm.py"
EPS = 1e-2  # large, so that leaving it out shows


def _backward_cases():
    for seed, shape in enumerate([(3, 1, 1, 1), (2, 1, 3, 2), (3, 4, 2, 3)]):
        rng = np.random.default_rng(seed)
        x = (rng.standard_normal(shape) * 2 + 1).round(1)
        gamma = rng.uniform(0.5, 2, shape[3]).round(1)
        yield {
            "dy": (rng.standard_normal(shape) + 0.5).round(1),
            "x": x,
            "gamma": gamma,
            "mu": x.mean(PIXELS),
            "var": x.var(PIXELS),
            "eps": EPS,
        }


def _numeric(dy, x, gamma, mu, var, eps):
    """The three gradients of sum(dy y) by central differences, mu and var moving with x."""

    def loss(x, gamma, beta):
        return (dy * package.batchnorm(x, gamma, beta, eps)[0]).sum()

    beta = np.zeros_like(gamma)
    return (
        numeric_gradient(lambda v: loss(v, gamma, beta), x),
        numeric_gradient(lambda v: loss(x, v, beta), gamma),
        numeric_gradient(lambda v: loss(x, gamma, v), beta),
    )


def _dx(count=None, power=0.5, keep_gamma=True, keep_eps=True, centred=True, scaled=True):
    """dx with one thing changed, as a function of a case."""

    def wrong(dy, x, gamma, mu, var, eps):
        m = x.size // x.shape[3] if count is None else count(x)
        sigma = np.sqrt(var + eps)
        xhat = (x - mu * centred) / (sigma if scaled else 1)
        dgamma, dbeta = (dy * xhat).sum(PIXELS), dy.sum(PIXELS)
        root = (var + eps * keep_eps) ** power
        return (gamma if keep_gamma else 1) / root * (dy - dbeta / m - xhat * dgamma / m)

    return wrong


def _dx_terms(dy, x, gamma, mu, var, eps):
    m, sigma = x.size // x.shape[3], np.sqrt(var + eps)
    xhat = (x - mu) / sigma
    return {
        "dy": gamma / sigma * dy,
        "-dbeta / M (what x does through mu)": -gamma / sigma * dy.sum(PIXELS) / m,
        "-xhat dgamma / M (what x does through var)": (
            -gamma / sigma * xhat * (dy * xhat).sum(PIXELS) / m
        ),
    }


def _dgamma_terms(dy, x, gamma, mu, var, eps):
    sigma = np.sqrt(var + eps)
    return {
        "sum of dy x / sigma": (dy * x).sum(PIXELS) / sigma,
        "-mu sum of dy / sigma": -mu * dy.sum(PIXELS) / sigma,
    }


def _dgamma(change):
    def wrong(dy, x, gamma, mu, var, eps):
        return (dy * change(x, mu, var, eps)).sum(PIXELS)

    return wrong


BACKWARD = Exercise(
    FILE,
    "batchnorm_backward",
    package.batchnorm_backward,
    _numeric,
    {"dx": PICTURES, "dgamma": CHANNELS, "dbeta": CHANNELS},
    list(_backward_cases()),
    mistakes={
        "dx": [
            ("sigma^2 (var + eps) where sigma belongs", _dx(power=1)),
            ("gamma is missing: the gradient of xhat is gamma dy", _dx(keep_gamma=False)),
            ("eps is missing: sigma is the root of var + eps", _dx(keep_eps=False)),
            ("x stands where xhat belongs", _dx(centred=False, scaled=False)),
            ("xhat lacks its division by sigma", _dx(scaled=False)),
            ("M is not the number of pictures: it is N H W", _dx(count=len)),
            ("M is not the pixels of one picture: it is N H W", _dx(lambda x: x[0, :, :, 0].size)),
            ("M is not all numbers of x: it is N H W, without C", _dx(lambda x: x.size)),
        ],
        "dgamma": [
            ("x stands where xhat belongs", _dgamma(lambda x, mu, var, eps: x)),
            ("xhat lacks its division by sigma", _dgamma(lambda x, mu, var, eps: x - mu)),
            (
                "sigma^2 (var + eps) where sigma belongs",
                _dgamma(lambda x, mu, var, eps: (x - mu) / (var + eps)),
            ),
            (
                "eps is missing: sigma is the root of var + eps",
                _dgamma(lambda x, mu, var, eps: (x - mu) / np.sqrt(var)),
            ),
            (
                "a mean over the pixels where a sum belongs",
                lambda dy, x, gamma, mu, var, eps: (dy * (x - mu) / np.sqrt(var + eps)).mean(
                    PIXELS
                ),
            ),
        ],
        "dbeta": [
            (
                "a mean over the pixels where a sum belongs",
                lambda dy, x, gamma, mu, var, eps: dy.mean(PIXELS),
            ),
            (
                "gamma has no place in it: beta comes after gamma",
                lambda dy, x, gamma, mu, var, eps: gamma * dy.sum(PIXELS),
            ),
        ],
    },
    terms={"dx": _dx_terms, "dgamma": _dgamma_terms},
)


def _average_cases():
    for seed, (channels, m) in enumerate([(1, 2), (3, 7), (2, 1)]):
        rng = np.random.default_rng(seed)
        mean, mu = rng.standard_normal((2, channels)).round(1)
        var, batch = rng.uniform(0.5, 2, (2, channels)).round(1)
        yield {"mean": mean, "var": var, "mu": mu, "var_batch": batch, "m": m, "momentum": 0.1}


def _averages(mean, var, mu, var_batch, m, momentum):
    """By loops, one channel at a time."""
    out = []
    for old_mean, old_var, new_mean, new_var in zip(mean, var, mu, var_batch, strict=True):
        unbiased = new_var if m == 1 else new_var * m / (m - 1)
        out.append(
            (
                (1 - momentum) * old_mean + momentum * new_mean,
                (1 - momentum) * old_var + momentum * unbiased,
            )
        )
    return tuple(np.array(column) for column in zip(*out, strict=True))


def _average(old, new):
    return lambda mean, var, mu, var_batch, m, momentum: (
        old * np.array([mean, var]) + new * np.array([mu, var_batch])
    )


AVERAGES = Exercise(
    FILE,
    "running_averages",
    package.running_averages,
    _averages,
    {"mean": CHANNELS, "var": CHANNELS},
    list(_average_cases()),
    mistakes={
        "mean": [
            (
                "momentum is the share of the new value, here 0.1, and 1 - momentum that of the old",
                lambda mean, var, mu, var_batch, m, momentum: momentum * mean + (1 - momentum) * mu,
            ),
            (
                "the old average keeps all its weight: it needs the share 1 - momentum",
                lambda mean, var, mu, var_batch, m, momentum: mean + momentum * mu,
            ),
        ],
        "var": [
            (
                "the batch's variance is the biased one: M / (M - 1) is missing",
                lambda mean, var, mu, var_batch, m, momentum: var + momentum * (var_batch - var),
            ),
            (
                "(M - 1) / M stands where M / (M - 1) belongs",
                lambda mean, var, mu, var_batch, m, momentum: (
                    var + momentum * (var_batch * (m - 1) / m - var)
                ),
            ),
            (
                "a batch of one value (M = 1) has no unbiased variance; keep the biased one there",
                lambda mean, var, mu, var_batch, m, momentum: (
                    var + momentum * (var_batch * (m / (m - 1) if m > 1 else np.nan) - var)
                ),
            ),
        ],
    },
)


def _sum_cases():
    rng = np.random.default_rng(0)
    yield {"x": np.array([1e8, 1, -1e8, 1], np.float32).reshape(4, 1, 1, 1)}
    yield {"x": rng.standard_normal((2, 3, 5, 4)).astype(np.float32)}
    yield {"x": (rng.standard_normal((8, 128, 128, 2)) + 3).astype(np.float32)}


def _exact_sums(x):
    import math

    return np.array([math.fsum(channel) for channel in x.reshape(-1, x.shape[3]).T.tolist()])


SUMS = Exercise(
    FILE,
    "channel_sums",
    lambda x: x.sum(axis=PIXELS, dtype=np.float64).astype(x.dtype),
    _exact_sums,
    {"sums": CHANNELS},
    list(_sum_cases()),
    mistakes={
        "sums": [
            (
                "the sum is kept in float32, and each addition rounds it: digits are lost",
                lambda x: x.sum(axis=PIXELS),
            ),
            (
                "the sum is kept in float32, and each addition rounds it: digits are lost",
                lambda x: x.sum(axis=0).sum(axis=0).sum(axis=0),
            ),
            ("the mean is given, and not the sum", lambda x: x.mean(PIXELS, dtype=np.float64)),
        ]
    },
)

EXERCISES = [BACKWARD, AVERAGES, SUMS]
