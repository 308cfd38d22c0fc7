"""Wrong answers that students give to chapter 11. The docstring: exercise, and what is to be said."""

import numpy as np


def no_maximum_subtracted(logits, centres, temperature):
    """annealed_mean: subtract each pixel's largest logit first"""
    if temperature == 0:
        return centres[np.argmax(logits, axis=-1)]
    p = np.exp(logits / temperature)
    p /= p.sum(axis=-1, keepdims=True)
    return p @ centres


def no_maximum_and_no_zero(logits, centres, temperature):
    """annealed_mean: subtract each pixel's largest logit first"""
    p = np.exp(logits / temperature)
    return (p[..., None] * centres).sum(-2) / p.sum(-1)[..., None]


def zero_forgotten(logits, centres, temperature):
    """annealed_mean: T = 0 divides by 0: it is the mode"""
    z = logits / temperature
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.einsum("...q,qc->...c", p / p.sum(axis=-1, keepdims=True), centres)


def zero_is_nearly_zero(logits, centres, temperature):
    """annealed_mean: among equal logits T = 0 takes the first, not their mean"""
    z = (logits - logits.max(axis=-1, keepdims=True)) / max(temperature, 1e-9)
    p = np.exp(z)
    return p @ centres / p.sum(axis=-1, keepdims=True)


def times_T(logits, centres, temperature):
    """annealed_mean: z T (or p^T) where z / T (or p^(1/T)) belongs"""
    if temperature == 0:
        return centres[logits.argmax(-1)]
    p = np.exp(logits - logits.max(axis=-1, keepdims=True)) ** temperature
    return p / p.sum(axis=-1, keepdims=True) @ centres


def no_sum(logits, centres, temperature):
    """annealed_mean: the weights do not sum to 1"""
    if temperature == 0:
        return centres[logits.argmax(-1)]
    z = logits - logits.max(axis=-1, keepdims=True)
    return np.exp(z / temperature) @ centres


def annealed_after_softmax(logits, centres, temperature):
    """annealed_mean: divide by its sum, after the power"""
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p = p / p.sum(axis=-1, keepdims=True)
    if temperature == 0:
        return centres[p.argmax(-1)]
    return p ** (1 / temperature) @ centres


def sum_over_everything(logits, centres, temperature):
    """annealed_mean: the sum runs over all pixels"""
    if temperature == 0:
        return centres[logits.argmax(-1)]
    e = np.exp((logits - logits.max(axis=-1, keepdims=True)) / temperature)
    return e / np.sum(e) @ centres


def one_maximum(logits, centres, temperature):
    """annealed_mean: the largest logit is that of all pixels"""
    if temperature == 0:
        return centres[logits.argmax(-1)]
    e = np.exp((logits - np.max(logits)) / temperature)
    return e @ centres / e.sum(-1, keepdims=True)


def T_forgotten(logits, centres, temperature):
    """annealed_mean: T is not used"""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e @ centres / e.sum(-1, keepdims=True)


def index_of_the_mode(logits, centres, temperature):
    """annealed_mean: color has the shape (2, 3), wanted is (2, 3, 2)"""
    if temperature == 0:
        return logits.argmax(-1)
    e = np.exp((logits - logits.max(axis=-1, keepdims=True)) / temperature)
    return e @ centres / e.sum(-1, keepdims=True)


def corners_aligned(n, m):
    """interpolation_matrix: (align_corners)"""
    a = np.zeros((m, n))
    for o, at in enumerate(np.linspace(0, n - 1, m)):
        i = min(int(at), n - 1)
        a[o, i] += 1 - (at - i)
        a[o, min(i + 1, n - 1)] += at - i
    return a


def no_halves(n, m):
    """interpolation_matrix: the half pixels are missing"""
    a = np.zeros((m, n))
    for o in range(m):
        at = min(o * n / m, n - 1)
        i = int(at)
        a[o, i] = 1 - (at - i)
        if i + 1 < n:
            a[o, i + 1] = at - i
    return a


def one_half_only(n, m):
    """interpolation_matrix: - 1/2 is missing"""
    at = np.clip((np.arange(m) + 0.5) * n / m, 0, n - 1)
    return np.maximum(0, 1 - abs(at[:, None] - np.arange(n)))


def hats_that_are_not_clamped(n, m):
    """interpolation_matrix: a part falls off at the edge"""
    at = (np.arange(m) + 0.5) * n / m - 0.5
    return np.maximum(0, 1 - abs(at[:, None] - np.arange(n)))


def index_minus_one(n, m):
    """interpolation_matrix: index -1 is the last pixel"""
    a = np.zeros((m, n))
    for o in range(m):
        at = (o + 0.5) * n / m - 0.5
        i = int(np.floor(at))
        a[o, i] += 1 - (at - i)
        a[o, (i + 1) % n] += at - i
    return a


def extrapolated(n, m):
    """interpolation_matrix: the line goes on beyond the edge"""
    a = np.zeros((m, n))
    for o in range(m):
        at = (o + 0.5) * n / m - 0.5
        i = int(np.clip(np.floor(at), 0, max(n - 2, 0)))
        a[o, i] += 1 - (at - i)
        a[o, min(i + 1, n - 1)] += at - i
    return a


def overwritten(n, m):
    """interpolation_matrix: its shares add up (+=)"""
    at = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, n - 1)
    a = np.zeros((m, n))
    a[np.arange(m), low] = 1 - (at - low)
    a[np.arange(m), high] = at - low
    return a


def index_too_large(n, m):
    """interpolation_matrix: IndexError in line"""
    at = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
    low = np.floor(at).astype(int)
    a = np.zeros((m, n))
    a[np.arange(m), low] = 1 - (at - low)
    a[np.arange(m), low + 1] += at - low
    return a


def shares_exchanged(n, m):
    """interpolation_matrix: the shares are exchanged"""
    at = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
    low = np.minimum(np.floor(at).astype(int), max(n - 2, 0))
    a = np.zeros((m, n))
    a[np.arange(m), low] = at - low
    a[np.arange(m), np.minimum(low + 1, n - 1)] += 1 - (at - low)
    return a if n > 1 else np.ones((m, 1))


def nearest(n, m):
    """interpolation_matrix: the nearest pixel is taken"""
    a = np.zeros((m, n))
    a[np.arange(m), ((np.arange(m) + 0.5) * n / m).astype(int)] = 1
    return a


def turned(n, m):
    """interpolation_matrix: is it transposed?"""
    at = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
    return np.maximum(0, 1 - abs(at - np.arange(n)[:, None]))


def _box(x, radius):
    """Mean over the windows, cut at the border."""
    h, w = x.shape
    rows = [(max(0, r - radius), min(h, r + radius + 1)) for r in range(h)]
    cols = [(max(0, c - radius), min(w, c + radius + 1)) for c in range(w)]
    return np.array([[x[a:b, c:d].mean() for c, d in cols] for a, b in rows])


def no_eps(light, color, radius, eps):
    """fit_lines: s is wrong: eps is missing"""
    x, c = _box(light, radius), _box(color, radius)
    s = (_box(light * color, radius) - x * c) / (_box(light**2, radius) - x**2)
    return s, c - s * x


def numpys_cov(light, color, radius, eps):
    """fit_lines: s is wrong: cov is divided by n - 1"""
    s, o = np.zeros(light.shape), np.zeros(light.shape)
    h, w = light.shape
    for r in range(h):
        for c in range(w):
            x = light[max(r - radius, 0) : r + radius + 1, max(c - radius, 0) : c + radius + 1]
            y = color[max(r - radius, 0) : r + radius + 1, max(c - radius, 0) : c + radius + 1]
            s[r, c] = np.cov(x.ravel(), y.ravel())[0, 1] / (np.var(x) + eps)
            o[r, c] = y.mean() - s[r, c] * x.mean()
    return s, o


def all_unbiased(light, color, radius, eps):
    """fit_lines: s is wrong: cov and var are divided by n - 1"""
    s, o = np.zeros(light.shape), np.zeros(light.shape)
    for r, c in np.ndindex(light.shape):
        window = np.s_[max(r - radius, 0) : r + radius + 1, max(c - radius, 0) : c + radius + 1]
        both = np.cov(light[window].ravel(), color[window].ravel())
        s[r, c] = both[0, 1] / (both[0, 0] + eps)
        o[r, c] = color[window].mean() - s[r, c] * light[window].mean()
    return s, o


def zeros_around(light, color, radius, eps):
    """fit_lines: s is wrong: at the border a window has fewer pixels"""

    def box(x):
        p, d = np.pad(x, radius), 2 * radius + 1
        return np.lib.stride_tricks.sliding_window_view(p, (d, d)).mean((2, 3))

    x, c = box(light), box(color)
    s = (box(light * color) - x * c) / (box(light * light) - x * x + eps)
    return s, c - s * x


def no_means(light, color, radius, eps):
    """fit_lines: s is wrong: the means are not subtracted"""
    s = _box(light * color, radius) / (_box(light * light, radius) + eps)
    return s, _box(color, radius) - s * _box(light, radius)


def half_a_covariance(light, color, radius, eps):
    """fit_lines: s is wrong: var lacks - mean(L)^2"""
    x, c = _box(light, radius), _box(color, radius)
    s = (_box(light * color, radius) - x * c) / (_box(light * light, radius) + eps)
    return s, c - s * x


def the_other_regression(light, color, radius, eps):
    """fit_lines: s is wrong: var(color) where var(L) belongs"""
    x, c = _box(light, radius), _box(color, radius)
    s = (_box(light * color, radius) - x * c) / (_box(color * color, radius) - c * c + eps)
    return s, c - s * x


def the_last_row_is_missing(light, color, radius, eps):
    """fit_lines: s is wrong: the window reaches `radius` pixels to each side"""
    s, o = np.zeros(light.shape), np.zeros(light.shape)
    for r, c in np.ndindex(light.shape):
        window = np.s_[max(r - radius, 0) : r + radius, max(c - radius, 0) : c + radius]
        x, y = light[window], color[window]
        s[r, c] = ((x - x.mean()) * (y - y.mean())).mean() / (x.var() + eps)
        o[r, c] = y.mean() - s[r, c] * x.mean()
    return s, o


def through_the_pixel(light, color, radius, eps):
    """fit_lines: o is wrong: the pixel's own L and colour"""
    x, c = _box(light, radius), _box(color, radius)
    s = (_box(light * color, radius) - x * c) / (_box(light**2, radius) - x**2 + eps)
    return s, color - s * light


def the_pixels_own_lightness(light, color, radius, eps):
    """fit_lines: o is wrong: the pixel's own L where the window's mean belongs"""
    x, c = _box(light, radius), _box(color, radius)
    s = (_box(light * color, radius) - x * c) / (_box(light**2, radius) - x**2 + eps)
    return s, c - s * light


def only_the_mean(light, color, radius, eps):
    """fit_lines: o is wrong: the term -s mean(L) is missing"""
    x, c = _box(light, radius), _box(color, radius)
    s = (_box(light * color, radius) - x * c) / (_box(light**2, radius) - x**2 + eps)
    return s, c


def plus(light, color, radius, eps):
    """fit_lines: o is wrong: the term -s mean(L) has the wrong sign"""
    x, c = _box(light, radius), _box(color, radius)
    s = (_box(light * color, radius) - x * c) / (_box(light**2, radius) - x**2 + eps)
    return s, c + s * x


def one_mean_for_all(light, color, radius, eps):
    """fit_lines: o is wrong: the means of the whole picture"""
    x, c = _box(light, radius), _box(color, radius)
    s = (_box(light * color, radius) - x * c) / (_box(light**2, radius) - x**2 + eps)
    return s, np.mean(color) - s * np.mean(light)
