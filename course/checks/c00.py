"""Chapter 0: one pixel by hand."""

import math

import numpy as np

from mini_colorize.bins import BINS

from ..check import Exercise

FILE = "00_one_pixel.py"
AB = ("a or b",)


def _cases():
    yield np.array([[60.0, 40], [0, 80]]), np.array([0.75, 0.25])
    yield np.array([[50.0, 0], [-30, 40], [0, -50]]), np.array([0.5, 0.3, 0.2])
    rng = np.random.default_rng(0)
    shares = rng.uniform(0, 1, 6)
    yield rng.uniform(-80, 80, (6, 2)).round(), shares / shares.sum()


CASES = list(_cases())


def _error(guess, colors, shares):
    """By loops."""
    return np.float64(
        sum(
            p * ((guess[0] - a) ** 2 + (guess[1] - b) ** 2)
            for (a, b), p in zip(colors.tolist(), shares.tolist(), strict=True)
        )
    )


def _distances(guess, colors):
    return np.linalg.norm(guess - colors, axis=1)


ERROR = Exercise(
    FILE,
    "expected_error",
    lambda guess, colors, shares: shares @ ((guess - colors) ** 2).sum(axis=1),
    _error,
    {"E": ()},
    [
        {"guess": np.array([10.0, -20]) * i, "colors": colors, "shares": shares}
        for i, (colors, shares) in enumerate(CASES, start=1)
    ],
    mistakes={
        "E": [
            (
                "the shares are left out: likely colours must count more",
                lambda guess, colors, shares: (_distances(guess, colors) ** 2).mean(),
            ),
            (
                "the shares are left out: likely colours must count more",
                lambda guess, colors, shares: (_distances(guess, colors) ** 2).sum(),
            ),
            (
                "the distance is not squared",
                lambda guess, colors, shares: shares @ _distances(guess, colors),
            ),
            (
                "it is the error of the mean colour: the mean of squares is not the square of a mean",
                lambda guess, colors, shares: ((guess - shares @ colors) ** 2).sum(),
            ),
            (
                "it is half of what it should be: a^2 + b^2 is a sum, and no mean of the two",
                lambda **case: _error(**case) / 2,
            ),
            (
                "it is divided by the number of colours; the shares have done that",
                lambda guess, colors, shares: _error(guess, colors, shares) / len(colors),
            ),
            (
                "the root is taken; the expected error is the mean of squares",
                lambda **case: math.sqrt(_error(**case)),
            ),
            (
                "the distance is |a| + |b|; it is a^2 + b^2",
                lambda guess, colors, shares: shares @ abs(guess - colors).sum(axis=1),
            ),
            (
                "(|a| + |b|)^2 stands where a^2 + b^2 belongs",
                lambda guess, colors, shares: shares @ abs(guess - colors).sum(axis=1) ** 2,
            ),
            (
                "only a counts; the distance is that in a and b",
                lambda guess, colors, shares: shares @ (guess - colors)[:, 0] ** 2,
            ),
            (
                "only b counts; the distance is that in a and b",
                lambda guess, colors, shares: shares @ (guess - colors)[:, 1] ** 2,
            ),
            (
                "the colour is added to the guess: their difference is meant",
                lambda guess, colors, shares: _error(guess, -colors, shares),
            ),
            (
                "the shares are squared: they stand outside of the square",
                lambda guess, colors, shares: _error(guess, colors, shares**2),
            ),
            (
                "the share multiplies the colour; it multiplies the squared distance",
                lambda guess, colors, shares: ((guess - shares[:, None] * colors) ** 2).sum(),
            ),
            (
                "it is the error for the likeliest colour only; all colours count, with their shares",
                lambda guess, colors, shares: _distances(guess, colors)[shares.argmax()] ** 2,
            ),
            (
                "it is the least of the terms: they add up",
                lambda guess, colors, shares: (shares * _distances(guess, colors) ** 2).min(),
            ),
            (
                "the last colour is left out",
                lambda guess, colors, shares: _error(guess, colors[:-1], shares[:-1]),
            ),
            (
                "|guess|^2 + |c|^2 lacks the term - 2 guess c",
                lambda guess, colors, shares: shares @ (guess**2 + colors**2).sum(axis=1),
            ),
        ]
    },
)


def _cheapest(colors, shares):
    """By descent along central differences of the error, which is a bowl."""
    guess = np.zeros(2)
    for axis in (0, 1):  # a parabola in each of a and b: three values find its bottom
        step = np.zeros(2)
        step[axis] = 1
        low, mid, high = (_error(guess + i * step, colors, shares) for i in (-1, 0, 1))
        guess = guess + step * (low - high) / (2 * (low - 2 * mid + high))
    return guess


def _weighted_median(colors, shares):
    """In a and in b: where half of the shares lie below."""
    order = colors.argsort(axis=0)
    passed = (np.cumsum(shares[order], axis=0) < 0.5 - 1e-12).sum(axis=0)
    return np.take_along_axis(colors, order, 0)[passed, (0, 1)]


def _geometric_median(colors, shares):
    """The least expected distance, not squared."""
    guess = shares @ colors
    for _ in range(2000):
        w = shares / np.maximum(_distances(guess, colors), 1e-12)
        guess = w @ colors / w.sum()
    return guess


CHEAPEST = Exercise(
    FILE,
    "cheapest_color",
    lambda colors, shares: shares @ colors,
    _cheapest,
    {"color": AB},
    [{"colors": colors, "shares": shares} for colors, shares in CASES],
    mistakes={
        "color": [
            (
                "it is the mean without the shares: likely colours must count more",
                lambda colors, shares: colors.mean(axis=0),
            ),
            (
                "it is the likeliest of the colours; between them there is a cheaper one",
                lambda colors, shares: colors[shares.argmax()],
            ),
            (
                "it is the cheapest of the colours themselves; between them there is a cheaper one",
                lambda colors, shares: min(colors, key=lambda c: _error(c, colors, shares)),
            ),
            (
                "it is the median; the squared error wants the mean",
                lambda colors, shares: np.median(colors, axis=0),
            ),
            ("it is the median (with shares); the squared error wants the mean", _weighted_median),
            (
                "its expected distance is least; least should be that of the squared distance",
                _geometric_median,
            ),
            (
                "it is the middle between the extremes; it is the mean, with shares",
                lambda colors, shares: (colors.min(axis=0) + colors.max(axis=0)) / 2,
            ),
            (
                "it is the nearest of the 313 bins; a colour may lie between them",
                lambda colors, shares: min(BINS, key=lambda c: _error(c, colors, shares)),
            ),
            (
                "it is rounded to whole numbers",
                lambda colors, shares: (shares @ colors).round(),
            ),
            (
                "the shares are squared",
                lambda colors, shares: shares**2 @ colors / (shares**2).sum(),
            ),
            (
                "it is divided by the number of colours; the shares have done that",
                lambda colors, shares: shares @ colors / len(colors),
            ),
        ]
    },
    tolerance=1e-5,
)


def _kept(colors, shares):
    a = sum(p * c[0] for p, c in zip(shares, colors, strict=True))
    b = sum(p * c[1] for p, c in zip(shares, colors, strict=True))
    strength = sum(p * math.hypot(*c) for p, c in zip(shares, colors, strict=True))
    return np.float64(math.hypot(a, b) / strength)


def _chroma(colors):
    return np.linalg.norm(colors, axis=-1)


KEPT = Exercise(
    FILE,
    "chroma_kept",
    lambda colors, shares: np.hypot(*(shares @ colors)) / (shares @ np.hypot(*colors.T)),
    _kept,
    {"share": ()},
    [{"colors": colors, "shares": shares} for colors, shares in CASES],
    mistakes={
        "share": [
            (
                "it is the share that is lost, and not what is kept",
                lambda **case: 1 - _kept(**case),
            ),
            (
                "the true colours' chroma is averaged without the shares",
                lambda colors, shares: (
                    np.hypot(*(shares @ colors)) / np.linalg.norm(colors, axis=1).mean()
                ),
            ),
            (
                "the shares are left out: likely colours must count more",
                lambda colors, shares: (
                    np.hypot(*colors.mean(axis=0)) / np.linalg.norm(colors, axis=1).mean()
                ),
            ),
            (
                "the cheapest colour is averaged without the shares",
                lambda colors, shares: (
                    np.hypot(*colors.mean(axis=0)) / (shares @ np.hypot(*colors.T))
                ),
            ),
            (
                "it is squared: the chroma is the root of a^2 + b^2",
                lambda colors, shares: (
                    ((shares @ colors) ** 2).sum() / (shares @ (colors**2).sum(axis=1))
                ),
            ),
            (
                "it is the cheapest colour's chroma itself; divide by that of the true ones",
                lambda colors, shares: np.hypot(*(shares @ colors)),
            ),
            *[
                ("chroma is not a + b: it is the root of a^2 + b^2", added)
                for added in (
                    lambda colors, shares: (
                        abs(shares @ colors).sum() / (shares @ abs(colors).sum(axis=1))
                    ),
                    lambda colors, shares: (shares @ colors).sum() / (shares @ colors.sum(axis=1)),
                )
            ],
            (
                "it is turned round: divide the cheapest colour's chroma by that of the true ones",
                lambda **case: 1 / _kept(**case),
            ),
            (
                "it is the difference of the two chromas; divide them",
                lambda colors, shares: (shares @ _chroma(colors)) * (1 - _kept(colors, shares)),
            ),
            (
                "the true colours' chromas are averaged as squares; take the mean of the chromas",
                lambda colors, shares: (
                    _chroma(shares @ colors) / np.sqrt(shares @ _chroma(colors) ** 2)
                ),
            ),
            (
                "it is a mean of quotients; divide by the mean chroma",
                lambda colors, shares: _chroma(shares @ colors) * (shares @ (1 / _chroma(colors))),
            ),
            (
                "it is divided by the largest chroma; divide by their mean",
                lambda colors, shares: _chroma(shares @ colors) / _chroma(colors).max(),
            ),
            (
                "it is divided by the sum of the chromas; divide by their mean, with shares",
                lambda colors, shares: _chroma(shares @ colors) / _chroma(colors).sum(),
            ),
            (
                "it is divided by the chroma of the likeliest colour; divide by the mean of all",
                lambda colors, shares: _chroma(shares @ colors) / _chroma(colors)[shares.argmax()],
            ),
            (
                "it is the likeliest colour's chroma, divided; the cheapest colour's is meant",
                lambda colors, shares: (
                    _chroma(colors)[shares.argmax()] / (shares @ _chroma(colors))
                ),
            ),
        ]
    },
    tolerance=1e-4,  # that of cheapest_color, which may be used, and more
)

EXERCISES = [ERROR, CHEAPEST, KEPT]
