"""Chapter 11: annealed mean, enlargement, lines in windows."""

from decimal import Decimal, localcontext
from itertools import product

import numpy as np

from mini_colorize import bins, guided
from mini_colorize.layers import upsample

from ..check import Exercise

FILE = "11_painting.py"


# The annealed mean -------------------------------------------------------------------------------


def _mean_cases():
    rng = np.random.default_rng(0)
    three = np.array([(0.0, -50.0), (0.0, 0.0), (40.0, 60.0)])  # blue, grey, orange
    two, many = three[[0, 2]], bins.BINS[[0, 100, 200, 300]].astype(np.float64)
    logits = (rng.standard_normal((2, 3, 4)) * 2).round(1)
    large, small = [2000.0, 2001.0, 2000.5], [-2000.0, -2001.0, -2001.5]
    for values, centres, temperature in (
        ([[[1.0, 2.0]]], two, 0.5),
        ([[[-3.0, 1.0, 0.5]]], three, 1.0),
        (logits, many, 0.38),
        ([[large]], three, 0.5),
        ([[[0.0, 1.0, 0.5], small]], three, 0.5),
        (logits, many, 0.0),
        ([[[0.5, 2.0, 2.0]]], three, 0.0),
    ):
        yield {"logits": np.array(values), "centres": centres, "temperature": temperature}


def _exact_mean(logits, centres, temperature):
    """By loops, with numbers that cannot overflow."""
    out = np.empty((*logits.shape[:-1], 2))
    with localcontext() as context:
        context.prec, context.Emax, context.Emin = 40, 10**9, -(10**9)
        for at in np.ndindex(logits.shape[:-1]):
            z = [Decimal(float(v)) for v in logits[at]]
            if temperature == 0:
                out[at] = centres[z.index(max(z))]
                continue
            e = [(v / Decimal(temperature)).exp() for v in z]
            for axis in (0, 1):
                mean = sum(w * Decimal(float(c[axis])) for w, c in zip(e, centres, strict=True))
                out[at][axis] = float(mean / sum(e))
    return out


def _package_mean(logits, centres, temperature):
    """The package's bins are 313: those that are not among the centres get nothing."""
    full = np.full((*logits.shape[:-1], bins.Q), -np.inf)
    full[..., [np.flatnonzero((bins.BINS == c).all(axis=1))[0] for c in centres]] = logits
    return bins.annealed_mean(full, temperature)


def _share(e):
    return e / e.sum(axis=-1, keepdims=True)


def _mode(z):
    return np.eye(z.shape[-1])[z.argmax(axis=-1)]


def _ties(z):
    return _share((z == z.max(axis=-1, keepdims=True)) * 1.0)


def _last(z):
    return _mode(z[..., ::-1])[..., ::-1]


SHIFTS = {
    "each": lambda z: z - z.max(axis=-1, keepdims=True),
    "all": lambda z: z - z.max(),
    "none": lambda z: z,
}


def _weighted(weights, shift, at_zero=None):
    """The mean with `weights` of the shifted logits and T; at T = 0 with `at_zero`, if given."""

    def wrong(logits, centres, temperature):
        if temperature == 0 and at_zero:
            return at_zero(logits) @ centres
        return weights(SHIFTS[shift](logits), np.float64(temperature)) @ centres

    return wrong


def _right(z, t):
    return _share(np.exp(z / t))


def _right_by_log(z, t):
    return np.exp(z / t - np.log(np.exp(z / t).sum(axis=-1, keepdims=True)))


def _weight_mistakes():
    """Wrong weights, with all that people do at T = 0 and against an overflow."""
    yield "T = 0 divides by 0: it is the mode, a case of its own", _weighted(_right, "each")
    for at_zero, what in ((_ties, "not their mean"), (_last, "not the last")):
        sentence = f"among equal logits T = 0 takes the first, {what}"
        yield sentence, _weighted(_right, "each", at_zero)
    yield (
        "T = 0 is not the mean, as if T were 1: it is the mode",
        _weighted(_right, "each", lambda z: _share(np.exp(SHIFTS["each"](z)))),
    )
    for shift, sentence in (
        ("all", "the largest logit is that of all pixels: subtract each pixel's own"),
        ("none", "exp overflows, or all of them are 0: subtract each pixel's largest logit first"),
    ):
        for at_zero, weights in product((_mode, None), (_right, _right_by_log)):
            yield sentence, _weighted(weights, shift, at_zero)
    wrong = {
        "T is not used: this is the mean at T = 1": lambda z, t: _share(np.exp(z)),
        "z T (or p^T) where z / T (or p^(1/T)) belongs: a low T must sharpen": (
            lambda z, t: _share(np.exp(z * t))
        ),
        "the weights do not sum to 1: divide by the sum over the bins": lambda z, t: np.exp(z / t),
        "p^(1/T) does not sum to 1: divide by its sum, after the power": (
            lambda z, t: _share(np.exp(z)) ** (1 / t)
        ),
        "the sum runs over all pixels: each pixel has its own, over the last axis": (
            lambda z, t: np.exp(z / t) / np.exp(z / t).sum()
        ),
        "the sum runs over another axis: it is that over the bins, the last one": (
            lambda z, t: np.exp(z / t) / np.exp(z / t).sum(axis=0)
        ),
        "T divides the colour: it divides the logits": lambda z, t: _share(np.exp(z)) / t,
        "logits are no probabilities: exp comes first": lambda z, t: _share(z / t),
        "log softmax is no probability: exp is missing": lambda z, t: np.log(_right(z, t)),
        "this is the mode at every T": lambda z, t: _mode(z),
    }
    for (sentence, weights), shift in product(wrong.items(), SHIFTS):
        for at_zero in (_mode, _ties, None):
            yield sentence, _weighted(weights, shift, at_zero)


ANNEALED = Exercise(
    FILE,
    "annealed_mean",
    _package_mean,
    _exact_mean,
    {"color": ("row", "column", "a or b")},
    list(_mean_cases()),
    tolerance=1e-4,  # room for float32
    mistakes={"color": list(_weight_mistakes())},
)


# Enlargement -------------------------------------------------------------------------------------


def _interpolated(n, m):
    """Column by column: what one input pixel of 1 among zeros gives, by np.interp."""
    at = [(o + 0.5) * n / m - 0.5 for o in range(m)]
    return np.stack([np.interp(at, range(n), one) for one in np.eye(n)], axis=1)


def _linear(place, outside="clamp", swapped=False, nearest=False):
    """A matrix that looks at place(o, n, m). outside: what is done there."""

    def wrong(n, m):
        a = np.zeros((m, n))
        for o in range(m):
            at = place(o, n, m)
            if outside == "clamp":
                at = min(max(at, 0), n - 1)
            low = int(np.floor(at)) if outside != "line" else min(max(int(at), 0), max(n - 2, 0))
            far = at - low
            if nearest:
                a[o, int(min(max(np.floor(at + 0.5), 0), n - 1))] = 1
                continue
            for i, share in ((low, 1 - far), (low + 1, far)):
                if swapped:
                    share = 1 - share
                if outside == "wrap":
                    a[o, i % n] += share
                elif outside == "overwrite":
                    a[o, min(max(i, 0), n - 1)] = share
                elif outside == "line":
                    a[o, min(i, n - 1)] += share
                elif 0 <= i < n:
                    a[o, i] += share
        return a

    return wrong


def _half(o, n, m):
    return (o + 0.5) * n / m - 0.5


def _clamped_half(o, n, m):
    return min(max(_half(o, n, m), 0), n - 1)


def _clamped_overwritten(n, m):
    a = np.zeros((m, n))
    for o in range(m):
        at = _clamped_half(o, n, m)
        low = int(at)
        a[o, low] = 1 - (at - low)
        a[o, min(low + 1, n - 1)] = at - low
    return a


_HALVES = "the half pixels are missing: the centre of output pixel o is at o + 1/2, not at o"
_BOUNDS = "a place beyond the last centres is to be moved onto them"


def _ends(o, n, m):
    return o * (n - 1) / max(m - 1, 1)


INTERPOLATION = Exercise(
    FILE,
    "interpolation_matrix",
    upsample.interpolation_matrix,
    _interpolated,
    {"matrix": ("output pixel", "input pixel")},
    [{"n": n, "m": m} for n, m in ((2, 4), (2, 3), (3, 3), (1, 3), (3, 7), (4, 16), (5, 3))],
    mistakes={
        "matrix": [
            (
                "the first and last centres are laid on each other (align_corners); here it is the "
                "edges of the pictures",
                _linear(_ends),
            ),
            (_HALVES, _linear(lambda o, n, m: o * n / m)),
            (_HALVES, _linear(lambda o, n, m: o * n / m, "drop")),
            (_HALVES, _linear(lambda o, n, m: o * n / m, "overwrite")),
            (
                "- 1/2 is missing: the centre of input pixel i is at i + 1/2 too",
                _linear(lambda o, n, m: (o + 0.5) * n / m),
            ),
            (
                "+ 1/2 is missing: the centre of output pixel o is at o + 1/2",
                _linear(lambda o, n, m: o * n / m - 0.5),
            ),
            ("m / n where n / m belongs", _linear(lambda o, n, m: (o + 0.5) * m / n - 0.5)),
            (
                "the nearest pixel is taken: the two next to the place share it",
                _linear(_half, nearest=True),
            ),
            *(
                (
                    "the shares are exchanged: the nearer pixel gets 1 minus its distance",
                    _linear(_clamped_half, outside, swapped=True),
                )
                for outside in ("overwrite", "drop", "line")
            ),
            (f"the line goes on beyond the edge: {_BOUNDS}", _linear(_half, "line")),
            (f"a part falls off at the edge: {_BOUNDS}", _linear(_half, "drop")),
            (
                f"index -1 is the last pixel, and the edge takes from the other side: {_BOUNDS}",
                _linear(_half, "wrap"),
            ),
            (
                "at the edge both neighbours are one pixel: its shares add up (+=)",
                _linear(_half, "overwrite"),
            ),
            (
                "at the edge both neighbours are one pixel: its shares add up (+=)",
                _clamped_overwritten,
            ),
        ]
    },
)


# Lines in windows --------------------------------------------------------------------------------


def _line_cases():
    for seed, (shape, radius) in enumerate([((1, 3), 1), ((3, 4), 1), ((5, 3), 2), ((4, 7), 1)]):
        rng = np.random.default_rng(seed)
        light = rng.uniform(20, 80, shape).round(1)
        color = (light / 2 + 5 * rng.standard_normal(shape)).round(1)
        yield {"light": light, "color": color, "radius": radius, "eps": 20.0 + 5 * seed}


def _windows(shape, radius):
    for r, c in np.ndindex(shape):
        rows, cols = (slice(max(0, i - radius), i + radius + 1) for i in (r, c))
        yield (r, c), (rows, cols)


def _least_squares(light, color, radius, eps):
    """The least sum of (s L + o - color)^2 plus n eps s^2, by NumPy's solver."""
    lines = np.empty((2, *light.shape))
    for at, window in _windows(light.shape, radius):
        x, y = light[window].ravel(), color[window].ravel()
        rows = [[v, 1] for v in x] + [[np.sqrt(len(x) * eps), 0]]
        lines[(slice(None), *at)] = np.linalg.lstsq(rows, [*y, 0], rcond=None)[0]
    return lines[0], lines[1]


def _package_lines(light, color, radius, eps):
    boxes = [guided.box_matrix(n, radius) for n in light.shape]
    lines = guided.window_lines(light[..., None], color[..., None], boxes, eps)
    return tuple(v[..., 0] for v in lines)


def _each_window(value, which=0):
    """value(x, y, eps, L and colour of the pixel itself) of every window."""

    def wrong(light, color, radius, eps):
        out = np.empty(light.shape)
        for at, window in _windows(light.shape, radius):
            x, y = light[window].ravel(), color[window].ravel()
            out[at] = value(x, y, eps, light[at], color[at])
        return out

    return wrong


def _padded(mode, **options):
    """The slope, of windows that a padding makes whole."""

    def wrong(light, color, radius, eps):
        x, y = (np.pad(v, radius, mode, **options) for v in (light, color))
        out, side = np.empty(light.shape), 2 * radius + 1
        for r, c in np.ndindex(light.shape):
            window = np.s_[r : r + side, c : c + side]
            out[r, c] = _slope(x[window], y[window], eps)
        return out

    return wrong


def _cov(x, y):
    return ((x - x.mean()) * (y - y.mean())).mean()


def _slope(x, y, eps, *_):
    return _cov(x, y) / (x.var() + eps)


def _unbiased(n):
    return n / (n - 1) if n > 1 else np.nan


def _other_radius(change):
    def wrong(light, color, radius, eps):
        return _least_squares(light, color, change(radius), eps)[0]

    return wrong


def _with_global(light, color, radius, eps):
    lines = _package_lines(light, color, radius, eps)
    return color.mean() - lines[0] * light.mean()


def _offset_terms(light, color, radius, eps):
    slope = _each_window(_slope)(light, color, radius, eps)
    return {
        "mean(color)": _each_window(lambda x, y, *_: y.mean())(light, color, radius, eps),
        "-s mean(L)": -slope * _each_window(lambda x, y, *_: x.mean())(light, color, radius, eps),
    }


_CUT = "at the border a window has fewer pixels: take the mean of those, without padding"

LINES = Exercise(
    FILE,
    "fit_lines",
    _package_lines,
    _least_squares,
    {"s": ("row", "column"), "o": ("row", "column")},
    list(_line_cases()),
    tolerance=1e-4,  # room for float32
    mistakes={
        "s": [
            ("eps is missing", _each_window(lambda x, y, *_: _cov(x, y) / x.var())),
            (
                "eps is added to the quotient: it belongs to var(L)",
                _each_window(lambda x, y, eps, *_: _cov(x, y) / x.var() + eps),
            ),
            (
                "var(L) is in it twice: eps is squared, or the denominator",
                _each_window(lambda x, y, eps, *_: _cov(x, y) / (x.var() + eps) ** 2),
            ),
            (
                "eps^2 where eps belongs",
                _each_window(lambda x, y, eps, *_: _cov(x, y) / (x.var() + eps**2)),
            ),
            (
                "the standard deviation where var belongs",
                _each_window(lambda x, y, eps, *_: _cov(x, y) / (x.std() + eps)),
            ),
            (
                "the standard deviation where var belongs",
                _each_window(lambda x, y, eps, *_: _cov(x, y) / np.sqrt(x.var() + eps)),
            ),
            (
                "var(color) where var(L) belongs: colour is fitted to L",
                _each_window(lambda x, y, eps, *_: _cov(x, y) / (y.var() + eps)),
            ),
            (
                "this is a correlation: it is divided by var(L) alone",
                _each_window(lambda x, y, eps, *_: _cov(x, y) / (x.std() * y.std() + eps)),
            ),
            (
                "cov is divided by n - 1 (np.cov does so), and var by n: n both times",
                _each_window(
                    lambda x, y, eps, *_: _unbiased(len(x)) * _cov(x, y) / (x.var() + eps)
                ),
            ),
            (
                "cov is divided by n, and var by n - 1: n both times",
                _each_window(
                    lambda x, y, eps, *_: _cov(x, y) / (_unbiased(len(x)) * x.var() + eps)
                ),
            ),
            (
                "cov and var are divided by n - 1: by n, or eps weighs less than it should",
                _each_window(
                    lambda x, y, eps, *_: (
                        _unbiased(len(x)) * _cov(x, y) / (_unbiased(len(x)) * x.var() + eps)
                    )
                ),
            ),
            (
                "sums where means belong: eps weighs less than it should",
                _each_window(lambda x, y, eps, *_: _cov(x, y) / (x.var() + eps / len(x))),
            ),
            (
                "the means are not subtracted: cov = mean(L color) - mean(L) mean(color), and var "
                "likewise",
                _each_window(lambda x, y, eps, *_: (x * y).mean() / ((x * x).mean() + eps)),
            ),
            (
                "cov lacks - mean(L) mean(color)",
                _each_window(lambda x, y, eps, *_: (x * y).mean() / (x.var() + eps)),
            ),
            (
                "var lacks - mean(L)^2",
                _each_window(lambda x, y, eps, *_: _cov(x, y) / ((x * x).mean() + eps)),
            ),
            (
                "one line for the whole picture: each pixel's window has its own",
                lambda light, color, radius, eps: np.full(light.shape, _slope(light, color, eps)),
            ),
            (_CUT, _padded("edge")),
            (_CUT, _padded("constant")),
            (_CUT, _padded("reflect")),
            (_CUT, _padded("symmetric")),
            (
                "the window reaches `radius` pixels to each side: the last row and column are missing",
                lambda light, color, radius, eps: _short_windows(light, color, radius, eps),
            ),
            ("the radius is 1 too large", _other_radius(lambda r: r + 1)),
            ("the radius is 1 too small", _other_radius(lambda r: r - 1)),
            ("radius is to each side, and not the window's side", _other_radius(lambda r: r // 2)),
        ],
        "o": [
            (
                "the pixel's own L and colour where the window's means belong",
                _each_window(lambda x, y, eps, L, color: color - _slope(x, y, eps) * L),
            ),
            (
                "the pixel's own L where the window's mean belongs",
                _each_window(lambda x, y, eps, L, color: y.mean() - _slope(x, y, eps) * L),
            ),
            (
                "the pixel's own colour where the window's mean belongs",
                _each_window(lambda x, y, eps, L, color: color - _slope(x, y, eps) * x.mean()),
            ),
            ("the means of the whole picture where the window's belong", _with_global),
            (
                "mean(L) and mean(color) are exchanged",
                _each_window(lambda x, y, eps, *_: x.mean() - _slope(x, y, eps) * y.mean()),
            ),
        ],
    },
    terms={"o": _offset_terms},
)


def _short_windows(light, color, radius, eps):
    out = np.empty(light.shape)
    for r, c in np.ndindex(light.shape):
        window = np.s_[max(0, r - radius) : r + radius, max(0, c - radius) : c + radius]
        out[r, c] = _slope(light[window], color[window], eps)
    return out


EXERCISES = [ANNEALED, INTERPOLATION, LINES]
