"""Chapter 0: one pixel by hand."""

import math

import numpy as np

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
                "the shares are left out: likely colours count more",
                lambda guess, colors, shares: (_distances(guess, colors) ** 2).mean(),
            ),
            (
                "the shares are left out: likely colours count more",
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
                "a and b are averaged; the squared distance is their sum, twice as large",
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
                "it is the mean without the shares: likely colours count more",
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
    tolerance=1e-4,
)


def _kept(colors, shares):
    a = sum(p * c[0] for p, c in zip(shares, colors, strict=True))
    b = sum(p * c[1] for p, c in zip(shares, colors, strict=True))
    strength = sum(p * math.hypot(*c) for p, c in zip(shares, colors, strict=True))
    return np.float64(math.hypot(a, b) / strength)


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
                "the shares are left out: likely colours count more",
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
            (
                "chroma is not a + b: it is the root of a^2 + b^2",
                lambda colors, shares: (
                    abs(shares @ colors).sum() / (shares @ abs(colors).sum(axis=1))
                ),
            ),
        ]
    },
)

EXERCISES = [ERROR, CHEAPEST, KEPT]
