"""Chapter 6: batch normalisation."""

import numpy as np

from mini_colorize.layers import batchnorm as package

from ..check import CHANNELS, PICTURES, Exercise, numeric_gradient

PIXELS = (0, 1, 2)
FILE = "06_batchnorm.py"
EPS = 1e-2, 3e-2, 2e-2  # large, so that leaving it out shows


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
            "eps": EPS[seed],
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


def _plain(var, eps):
    return np.sqrt(var + eps)


def _steps(output, **steps):
    """An output with some steps replaced, as a function of a case.

    count, of x: M. axes: of the sums. sigma, of var and eps: xhat's; outer: that before the
    bracket. centred: xhat has its -mu. scaled: xhat has its 1 / sigma. last, of xhat, x and mu:
    what dgamma / M is multiplied by. factor, of gamma and sigma: what stands before the bracket.
    inner, of gamma: a factor of dbeta and dgamma in it. unbiased: var is divided by M - 1.
    """

    def wrong(dy, x, gamma, mu, var, eps):
        def step(name, default, *of):
            return steps.get(name, default)(*of)

        m = step("count", lambda x: x.size // x.shape[3], x)
        var = var * m / (m - 1) if steps.get("unbiased") else var
        sigma = step("sigma", _plain, var, eps)
        outer = step("outer", steps.get("sigma", _plain), var, eps)
        axes, keep = steps.get("axes", PIXELS), "axes" in steps
        xhat = (x - mu * steps.get("centred", 1)) / (sigma if steps.get("scaled", True) else 1)
        dbeta, dgamma = dy.sum(axes, keepdims=keep), (dy * xhat).sum(axes, keepdims=keep)
        last = step("last", lambda xhat, x, mu: xhat, xhat, x, mu)
        inner = step("inner", lambda gamma: 1, gamma)
        factor = step("factor", lambda gamma, sigma: gamma / sigma, gamma, outer)
        dx = factor * (dy - inner * (dbeta + last * dgamma) / m)
        return dx if output == "dx" else dgamma

    return wrong


def _eps_mistakes(output):
    """Wrong ways to put eps into sigma, everywhere and in one of its two places."""
    ways = [
        ("eps is missing: sigma is the root of var + eps", lambda var, eps: np.sqrt(var)),
        ("eps is added to the root: sigma is the root of var + eps",
         lambda var, eps: np.sqrt(var) + eps),
        ("sigma^2 (var + eps) where sigma belongs", lambda var, eps: var + eps),
        ("eps is taken to be 1e-5: it is an argument", lambda var, eps: np.sqrt(var + 1e-5)),
    ]  # fmt: skip
    for said, sigma in ways:
        yield said, _steps(output, sigma=sigma)
        if output == "dx":
            yield said, _steps(output, outer=sigma)
            yield f"in xhat {said}", _steps(output, sigma=sigma, outer=_plain)


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


BACKWARD = Exercise(
    FILE,
    "batchnorm_backward",
    package.batchnorm_backward,
    _numeric,
    {"dx": PICTURES, "dgamma": CHANNELS, "dbeta": CHANNELS},
    list(_backward_cases()),
    mistakes={
        "dx": [
            *_eps_mistakes("dx"),
            ("gamma is missing: the gradient of xhat is gamma dy",
             _steps("dx", factor=lambda gamma, sigma: 1 / sigma)),
            ("the division by sigma is missing", _steps("dx", factor=lambda gamma, sigma: gamma)),
            ("it is multiplied by sigma, and not divided",
             _steps("dx", factor=lambda gamma, sigma: gamma * sigma)),
            ("it is divided by gamma, and not multiplied",
             _steps("dx", factor=lambda gamma, sigma: 1 / gamma / sigma)),
            ("gamma is a factor of dy only: it stands before all three terms",
             _steps("dx", factor=lambda gamma, sigma: gamma / sigma, inner=lambda gamma: 1 / gamma)),
            ("gamma is in it twice: dbeta and dgamma are sums of dy, without gamma",
             _steps("dx", factor=lambda gamma, sigma: gamma**2 / sigma)),
            ("gamma is in dbeta and dgamma, too: they are sums of dy, without gamma",
             _steps("dx", inner=lambda gamma: gamma)),
            ("x stands where xhat belongs", _steps("dx", centred=0, scaled=False)),
            ("xhat lacks its - mu", _steps("dx", centred=0)),
            ("xhat lacks its division by sigma", _steps("dx", scaled=False)),
            ("the last term lacks its factor xhat",
             _steps("dx", last=lambda xhat, x, mu: np.ones_like(x))),
            ("in the last term x stands where xhat belongs",
             _steps("dx", last=lambda xhat, x, mu: x)),
            ("in the last term x - mu stands where xhat belongs",
             _steps("dx", last=lambda xhat, x, mu: x - mu)),
            ("in the last term xhat is squared", _steps("dx", last=lambda xhat, x, mu: xhat**2)),
            ("var is the biased variance, divided by M, as it is given",
             _steps("dx", unbiased=True)),
            ("the sums are those of each picture: they run over all pictures",
             _steps("dx", axes=(1, 2))),
            ("the sums are those of each picture: they run over all pictures",
             _steps("dx", axes=(1, 2), count=lambda x: x[0, :, :, 0].size)),
            ("M is not the number of pictures: it is N H W", _steps("dx", count=len)),
            ("M is not the pixels of one picture: it is N H W",
             _steps("dx", count=lambda x: x[0, :, :, 0].size)),
            ("M is not all numbers of x: it is N H W, without C",
             _steps("dx", count=lambda x: x.size)),
        ],
        "dgamma": [
            *_eps_mistakes("dgamma"),
            ("x stands where xhat belongs", _steps("dgamma", centred=0, scaled=False)),
            ("xhat lacks its division by sigma", _steps("dgamma", scaled=False)),
            ("var is the biased variance, divided by M, as it is given",
             _steps("dgamma", unbiased=True)),
            ("y stands where xhat belongs: gamma has no place in it",
             lambda gamma, **case: gamma * _steps("dgamma")(gamma=gamma, **case)),
            ("a mean over the pixels where a sum belongs",
             lambda x, **case: _steps("dgamma")(x=x, **case) / x[..., 0].size),
            ("it is a product of sums: xhat belongs into the sum, number by number",
             lambda dy, x, gamma, mu, var, eps: (
                 dy.sum(PIXELS) * ((x - mu) / np.sqrt(var + eps)).sum(PIXELS))),
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
    order=("dbeta", "dgamma", "dx"),
)  # fmt: skip


def _average_cases():
    for seed, (channels, m, momentum) in enumerate([(1, 2, 0.1), (3, 7, 0.3), (2, 1, 0.2)]):
        rng = np.random.default_rng(seed)
        mean, mu = rng.standard_normal((2, channels)).round(1)
        var, batch = rng.uniform(0.5, 2, (2, channels)).round(1)
        yield {"mean": mean, "var": var, "mu": mu, "var_batch": batch, "m": m, "momentum": momentum}


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


def _unbiased(var_batch, m):
    return var_batch * m / (m - 1) if m > 1 else var_batch


def _mean(change):
    """A wrong mean, of the old one, the batch's and momentum."""
    return lambda mean, var, mu, var_batch, m, momentum: change(mean, mu, momentum)


def _var(batch, old=lambda var, m: var):
    """A wrong variance: what stands for the batch's, of it and of m, and what for the old one."""
    return lambda mean, var, mu, var_batch, m, momentum: (
        (1 - momentum) * old(var, m) + momentum * batch(var_batch, m)
    )


def _only_at_one(value):
    """What stands for the batch's variance if that is wrong at m = 1 only."""
    return _var(lambda v, m: _unbiased(v, m) if m > 1 else value * v)


AVERAGES = Exercise(
    FILE,
    "running_averages",
    package.running_averages,
    _averages,
    {"mean": CHANNELS, "var": CHANNELS},
    list(_average_cases()),
    mistakes={
        "mean": [
            ("momentum is the share of the new value, and 1 - momentum that of the old",
             _mean(lambda old, new, p: p * old + (1 - p) * new)),
            ("the old average keeps all its weight: it needs the share 1 - momentum",
             _mean(lambda old, new, p: old + p * new)),
            ("both count alike: momentum is the share of the new value",
             _mean(lambda old, new, p: (old + new) / 2)),
            ("this is the batch's mean: the average so far has no share",
             _mean(lambda old, new, p: new)),
            ("this is the old mean: the batch has no share", _mean(lambda old, new, p: old)),
            ("M / (M - 1) is for the variance; a mean has no such factor",
             lambda mean, var, mu, var_batch, m, momentum: (
                 (1 - momentum) * mean + momentum * _unbiased(mu, m))),
        ],
        "var": [
            *[
                ("m is 1: there is no unbiased variance of one value; take the biased one",
                 _only_at_one(value))
                for value in (0, np.nan, np.inf)
            ],
            ("the batch's variance is the biased one: M / (M - 1) is missing",
             _var(lambda v, m: v)),
            ("(M - 1) / M stands where M / (M - 1) belongs", _var(lambda v, m: v * (m - 1) / m)),
            ("M / (M + 1) stands where M / (M - 1) belongs", _var(lambda v, m: v * m / (m + 1))),
            ("the batch's variance stands under a root", _var(lambda v, m: np.sqrt(_unbiased(v, m)))),
            ("M / (M - 1) is for the batch's variance only: the average so far has it already",
             _var(_unbiased, old=_unbiased)),
            ("M / (M - 1) is for the batch's variance, and not for the average so far",
             _var(lambda v, m: v, old=_unbiased)),
            ("m is 1: the average stays as it is; take the biased variance there",
             lambda var, m, **case: (
                 _averages(var=var, m=m, **case)[1] if m > 1 else var)),
        ],
    },
)  # fmt: skip


def _sum_cases():
    """The first: each 1 alone is lost beside 2^24, where float32 has steps of 2."""
    rng = np.random.default_rng(0)
    yield {"x": np.array([2**24, 1, 1, -(2**24)], np.float32).reshape(4, 1, 1, 1)}
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
            *[
                ("the sum is kept in float32, and each addition rounds it: digits are lost", lost)
                for lost in (
                    lambda x: x.sum(axis=PIXELS),
                    lambda x: x.sum(axis=0).sum(axis=0).sum(axis=0),
                    lambda x: np.einsum("nhwc->c", x),
                    lambda x: np.ones(x[..., 0].size, x.dtype) @ x.reshape(-1, x.shape[3]),
                    lambda x: x.sum(0, dtype=np.float64).astype(x.dtype).sum((0, 1)),
                )
            ],
            ("the mean is given, and not the sum", lambda x: x.mean(PIXELS, dtype=np.float64)),
            ("it is of the first picture only", lambda x: x[0].sum((0, 1), dtype=np.float64)),
            (
                "reshape(C, -1) mixes the channels: they are the last axis; reshape(-1, C)",
                lambda x: x.reshape(x.shape[3], -1).sum(1, dtype=np.float64),
            ),
            ("the signs are lost (abs)", lambda x: abs(x).sum(PIXELS, dtype=np.float64)),
            ("these are sums of squares", lambda x: (x.astype(float) ** 2).sum(PIXELS)),
        ]
    },
)

EXERCISES = [BACKWARD, AVERAGES, SUMS]
